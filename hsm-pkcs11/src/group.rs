//! Blocks of a batch that need the same object, done with one call: a call costs what thirty blocks cost. CBC
//! that does not chain (decryption, or one block) is ECB with an XOR beside it.

use crate::link::Link;
use cryptoki::object::ObjectHandle;
use foldhash::fast::RandomState;
use hsm::{HsmError, Op, OpBatch, Outcome};
use paytypes::bytes::xor_into;
use paytypes::{CipherKind, Direction};
use std::collections::HashMap;
use zeroize::Zeroize;

/// Bytes of one call at most; a multiple of every block length.
const CALL: usize = 32 * 1024;

#[derive(Debug)]
struct Group {
    way: Direction,
    kind: CipherKind,
    key: ObjectHandle,
    members: Vec<usize>,
    bytes: usize,
}

/// Groups of one batch; memory is kept from batch to batch.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: Vec<Group>,
    used: usize,
    by_object: HashMap<(u64, bool), usize, RandomState>,
    work: Vec<u8>,
}

impl Groups {
    /// Takes an operation in whose blocks do not depend on each other.
    pub(crate) fn add(
        &mut self,
        op: usize,
        way: Direction,
        kind: CipherKind,
        key: ObjectHandle,
        bytes: usize,
    ) {
        let name = (key.handle(), way == Direction::Encrypt);
        let at = *self.by_object.entry(name).or_insert(self.used);
        if at == self.used {
            self.used = self.used.saturating_add(1);
            match self.groups.get_mut(at) {
                Some(group) => (group.way, group.kind, group.key, group.bytes) = (way, kind, key, 0),
                None => self.groups.push(Group { way, kind, key, members: Vec::new(), bytes: 0 }),
            }
        }
        if let Some(group) = self.groups.get_mut(at) {
            group.members.push(op);
            group.bytes = group.bytes.saturating_add(bytes);
        }
    }

    /// Does every group and answers its operations; all of a group share its fate.
    pub(crate) fn run(&mut self, link: &mut Link, ops: &mut OpBatch) {
        for group in self.groups.iter_mut().take(self.used) {
            let done = group.run(link, ops, &mut self.work);
            for op in group.members.drain(..) {
                let Some(view) = ops.view(op) else { continue };
                *view.outcome = Some(done.map(|()| Outcome::Done));
            }
        }
        self.used = 0;
        self.by_object.clear();
    }
}

impl Group {
    fn run(&self, link: &mut Link, ops: &mut OpBatch, work: &mut Vec<u8>) -> Result<(), HsmError> {
        // One operation alone needs no copy.
        if let [op] = self.members[..]
            && let Some(view) = ops.view(op)
            && matches!(view.op, Op::Ecb { .. })
            && view.data.len() <= CALL
        {
            return link.ecb(self.way, self.kind, self.key, view.data);
        }
        // Room for everything at once: a vector that grows leaves an unwiped copy behind.
        if work.capacity() < self.bytes {
            *work = Vec::with_capacity(self.bytes.next_power_of_two());
        }
        for op in &self.members {
            let Some(view) = ops.view(*op) else { continue };
            let start = work.len();
            work.extend_from_slice(view.data);
            if self.way == Direction::Encrypt {
                xor_into(work.get_mut(start..).unwrap_or_default(), view.iv);
            }
        }
        let done = work.chunks_mut(CALL).try_for_each(|part| link.ecb(self.way, self.kind, self.key, part));
        if done.is_ok() {
            self.give_back(ops, work);
        }
        work.as_mut_slice().zeroize();
        work.clear();
        done
    }

    fn give_back(&self, ops: &mut OpBatch, work: &mut [u8]) {
        let (mut rest, block) = (work, self.kind.block_length());
        for op in &self.members {
            let Some(view) = ops.view(*op) else { continue };
            let Some((own, others)) = rest.split_at_mut_checked(view.data.len()) else { return };
            rest = others;
            if self.way == Direction::Decrypt && !view.iv.is_empty() {
                let before = view.iv.iter().chain(view.data.iter());
                own.iter_mut().zip(before).for_each(|(o, b)| *o ^= b);
            }
            view.data.copy_from_slice(own);
        }
        debug_assert_eq!(block & 7, 0);
    }
}
