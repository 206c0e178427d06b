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
    states: Vec<C::State>,
    free: Vec<usize>,
}

/// Runs a command by its steps.
pub fn stepped<C: Stepped>() -> Box<dyn Runner> {
    Box::new(Steps::<C> { states: Vec::new(), free: Vec::new() })
}

impl<C: Stepped> Runner for Steps<C> {
    fn start(&mut self, mut cx: Cx, frame: Frame<'_>, slot: &mut Slot) -> Option<usize> {
        let mut request = C::Request::default();
        let parsed = parse::<C>(&mut request, &mut cx, frame, &mut slot.head);
        let index = self.free.pop().unwrap_or_else(|| {
            self.states.push(C::State::default());
            self.states.len().saturating_sub(1)
        });
        let state = self.states.get_mut(index)?;
        // A handler that panics costs its own command an error code and nothing else.
        let begun = parsed.and_then(|()| {
            catch_unwind(AssertUnwindSafe(|| C::begin(state, &cx, &request))).unwrap_or(Err(Code::INTERNAL))
        });
        match begun {
            Ok(()) => Some(index),
            Err(code) => {
                self.give_back(index);
                refuse(&cx.port, slot, code);
                None
            }
        }
    }

    fn poll(&mut self, running: usize, hsm: &Hsm, port: &Port, out: &mut Vec<u8>) -> Option<Code> {
        let state = self.states.get_mut(running)?;
        let mut reply = C::Reply::default();
        let step = catch_unwind(AssertUnwindSafe(|| C::go_on(state, hsm, &mut reply)));
        match step.unwrap_or(Poll::Ready(Err(Code::INTERNAL))) {
            Poll::Pending => None,
            Poll::Ready(Ok(())) => {
                self.free.push(running);
                Some(write_body::<C>(port, Code::OK, &mut reply, out))
            }
            Poll::Ready(Err(code)) => {
                self.give_back(running);
                begin_reply(port, C::ABOUT.code, code, out);
                Some(code)
            }
        }
    }
}

impl<C: Stepped> Steps<C> {
    // What was refused on its way may leave anything behind, a key too.
    #[cold]
    fn give_back(&mut self, index: usize) {
        if let Some(state) = self.states.get_mut(index) {
            *state = C::State::default();
        }
        self.free.push(index);
    }
}
