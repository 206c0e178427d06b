//! Running commands whose state is written by hand: no future, nothing moved from the frame to the reply.

use super::Slot;
use super::frame::{begin_reply, refuse};
use super::pool::{Frame, Runner, parse, write_body};
use crate::Code;
use crate::command::Stepped;
use crate::context::{Cx, Port};
use core::panic::AssertUnwindSafe;
use core::task::Poll;
use hsm::Hsm;
use std::panic::catch_unwind;

struct Steps<C: Stepped> {
    /// The request that was read last, to be renewed.
    request: C::Request,
    states: Vec<C::State>,
    free: Vec<usize>,
}

/// Runs a command by its steps.
pub fn stepped<C: Stepped>() -> Box<dyn Runner> {
    Box::new(Steps::<C> { request: C::Request::default(), states: Vec::new(), free: Vec::new() })
}

impl<C: Stepped> Runner for Steps<C> {
    fn start(&mut self, cx: &mut Cx, frame: Frame<'_>, slot: &mut Slot) -> Option<usize> {
        let index = self.free.pop().unwrap_or_else(|| {
            self.states.push(C::State::default());
            self.states.len().saturating_sub(1)
        });
        let (request, state) = (&mut self.request, self.states.get_mut(index)?);
        let head = &mut slot.head;
        let mut refused = Code::INTERNAL;
        // A handler that panics costs its own command an error code and nothing else.
        let begun = catch_unwind(AssertUnwindSafe(|| {
            C::renew(request);
            let begun = parse::<C>(request, cx, frame, head).and_then(|()| C::begin(state, cx, request));
            begun.map_err(|code| refused = code).is_ok()
        }));
        if begun.is_ok_and(|begun| begun) {
            return Some(index);
        }
        self.abandon(index);
        refuse(&cx.port, slot, refused);
        None
    }

    #[inline]
    fn poll(&mut self, running: usize, hsm: &Hsm, port: &Port, out: &mut Vec<u8>) -> Option<Code> {
        let state = self.states.get_mut(running)?;
        let mut reply = C::Reply::default();
        match C::go_on(state, hsm, &mut reply) {
            Poll::Pending => None,
            Poll::Ready(Ok(())) => {
                self.free.push(running);
                Some(write_body::<C>(port, Code::OK, &mut reply, out))
            }
            Poll::Ready(Err(code)) => {
                self.abandon(running);
                begin_reply(port, C::ABOUT.code, code, out);
                Some(code)
            }
        }
    }

    // What was refused on its way may leave anything behind, a key too.
    #[cold]
    fn abandon(&mut self, running: usize) {
        if let Some(state) = self.states.get_mut(running) {
            *state = C::State::default();
        }
        self.free.push(running);
    }
}
