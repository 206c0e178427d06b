//! Blocks of a batch that need the same object, done with one call: a call costs what thirty blocks cost. CBC
//! that does not chain (decryption, or one block) is ECB with an XOR beside it.

use crate::link::Link;
use cryptoki::object::ObjectHandle;
use foldhash::fast::RandomState;
use hsm::{OpBatch, Outcome};
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

    /// Does every group and answers its operations.
    pub(crate) fn run(&mut self, link: &mut Link, ops: &mut OpBatch) {
        for group in self.groups.iter_mut().take(self.used) {
            group.run(link, ops, &mut self.work);
            group.members.clear();
        }
        self.used = 0;
        self.by_object.clear();
    }
}

impl Group {
    // Operations of one call share its fate.
    fn run(&self, link: &mut Link, ops: &mut OpBatch, work: &mut Vec<u8>) {
        let block = self.kind.block_length();
        let most = self.bytes.min(CALL).saturating_add(CALL).saturating_add(block);
        // Room for everything at once: a vector that grows leaves an unwiped copy behind.
        if work.capacity() < most {
            *work = Vec::with_capacity(most);
        }
        let mut rest = self.members.as_slice();
        while !rest.is_empty() {
            let taken = self.fill(ops, rest, work);
            let (now, later) = rest.split_at_checked(taken).unwrap_or((rest, &[]));
            let done = link.ecb_behind(self.way, self.kind, self.key, work);
            if done.is_ok() {
                self.give_back(ops, now, work.get_mut(block..).unwrap_or_default());
            }
            work.as_mut_slice().zeroize();
            work.clear();
            for op in now {
                let Some(view) = ops.view(*op) else { continue };
                *view.outcome = Some(done.map(|()| Outcome::Done));
            }
            rest = later;
        }
    }

    // Room for the block in front, then the data of as many operations as one call takes, and one at least.
    fn fill(&self, ops: &mut OpBatch, members: &[usize], work: &mut Vec<u8>) -> usize {
        work.resize(self.kind.block_length(), 0);
        let mut taken = 0usize;
        for op in members {
            let Some(view) = ops.view(*op) else { break };
            let start = work.len();
            if taken > 0 && start.saturating_add(view.data.len()) > CALL {
                break;
            }
            work.extend_from_slice(view.data);
            if self.way == Direction::Encrypt {
                xor_into(work.get_mut(start..).unwrap_or_default(), view.iv);
            }
            taken = taken.saturating_add(1);
        }
        taken.max(1)
    }

    fn give_back(&self, ops: &mut OpBatch, members: &[usize], work: &mut [u8]) {
        let mut rest = work;
        for op in members {
            let Some(view) = ops.view(*op) else { continue };
            let Some((own, others)) = rest.split_at_mut_checked(view.data.len()) else { return };
            rest = others;
            if self.way == Direction::Decrypt && !view.iv.is_empty() {
                let before = view.iv.iter().chain(view.data.iter());
                own.iter_mut().zip(before).for_each(|(o, b)| *o ^= b);
            }
            view.data.copy_from_slice(own);
        }
    }
}
