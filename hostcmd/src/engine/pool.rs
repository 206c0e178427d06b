//! Running commands. Each command has a pool of pinned futures that are set anew for every request, so
//! that a command in steady state allocates nothing.

use super::Slot;
use super::frame::{Head, begin_reply, refuse};
use crate::Code;
use crate::command::{Answer, Command};
use crate::context::{Cx, Port};
use crate::wire::{Message, Reader, Writer};
use core::future::Future;
use core::marker::PhantomData;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use hsm::Hsm;
use std::panic::catch_unwind;

/// A frame: as it came and in ASCII.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    pub(super) raw: &'a [u8],
    pub(super) text: &'a [u8],
}

/// A command of the table, ready to run any number of requests at once. What a command gives, its code and
/// its reply behind the header, goes into its slot.
pub trait Runner {
    /// Parses a frame and begins; the number names the running command, `None` when it is done already.
    fn start(&mut self, cx: &mut Cx, frame: Frame<'_>, slot: &mut Slot) -> Option<usize>;

    /// Goes on with a running command: its code when it is done, and its reply behind what `out` holds. When this
    /// panics, [`Runner::abandon`] follows.
    fn poll(&mut self, running: usize, hsm: &Hsm, port: &Port, out: &mut Vec<u8>) -> Option<Code>;

    /// Ends a running command without a reply.
    fn abandon(&mut self, running: usize);
}

struct Pool<C, F, R> {
    run: R,
    places: Vec<Pin<Box<Option<F>>>>,
    free: Vec<usize>,
    command: PhantomData<C>,
}

/// Runs a command by its future.
pub fn runner<C: Command>() -> Box<dyn Runner> {
    pool::<C, _, _>(C::run)
}

fn pool<C, F, R>(run: R) -> Box<dyn Runner>
where
    C: Command,
    F: Future<Output = Answer<C::Reply>> + 'static,
    R: Fn(Cx, C::Request) -> F + 'static,
{
    Box::new(Pool::<C, F, R> { run, places: Vec::new(), free: Vec::new(), command: PhantomData })
}

#[inline]
pub(super) fn parse<C: Command>(
    request: &mut C::Request,
    cx: &mut Cx,
    frame: Frame<'_>,
    head: &mut Head,
) -> Result<(), Code> {
    let body = cx.port.header_length.saturating_add(2);
    let keys = cx.shared.keys.borrow();
    let mut reader = Reader::new(frame.text, frame.raw, body, &cx.port.settings).with_keys(&keys);
    let trailer = request.walk(&mut reader).and_then(|()| reader.finish());
    match trailer {
        Ok(trailer) => head.keep_trailer(trailer),
        Err(code) => {
            head.search_trailer(&cx.port, frame);
            return Err(code);
        }
    }
    cx.lmk = crate::wire::Wire::selected(&reader).unwrap_or(cx.port.lmk);
    cx.scheme = cx.lmk_info()?.scheme;
    reader.references().judge(&keys, cx.lmk)?;
    if cx.port.generation_trailer {
        let trailer = reader.references().trailer();
        head.extend_trailer(&cx.port, &trailer);
    }
    Ok(())
}

impl<C, F, R> Runner for Pool<C, F, R>
where
    C: Command,
    F: Future<Output = Answer<C::Reply>> + 'static,
    R: Fn(Cx, C::Request) -> F + 'static,
{
    fn start(&mut self, cx: &mut Cx, frame: Frame<'_>, slot: &mut Slot) -> Option<usize> {
        let mut request = C::Request::default();
        if let Err(code) = parse::<C>(&mut request, cx, frame, &mut slot.head) {
            refuse(&cx.port, slot, code);
            return None;
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Box::pin(None));
            self.places.len().saturating_sub(1)
        });
        self.places.get_mut(index)?.as_mut().set(Some((self.run)(cx.clone(), request)));
        // Who reports counts has to wait until they are told, when the batch is whole. All others
        // go on at once, while their request is in the cache, up to the first operation.
        if C::READS_COUNTS {
            return Some(index);
        }
        let poll = AssertUnwindSafe(|| self.poll(index, &cx.hsm, &cx.port, &mut slot.reply));
        match catch_unwind(poll) {
            Ok(None) => return Some(index),
            Ok(Some(code)) => slot.code = code,
            // A handler that panics costs its own command an error code and nothing else.
            Err(_) => {
                self.abandon(index);
                refuse(&cx.port, slot, Code::INTERNAL);
            }
        }
        None
    }

    fn poll(&mut self, running: usize, _: &Hsm, port: &Port, out: &mut Vec<u8>) -> Option<Code> {
        let place = self.places.get_mut(running)?;
        let answer = match place.as_mut().as_pin_mut() {
            Some(future) => match resume(future) {
                Poll::Pending => return None,
                Poll::Ready(answer) => answer,
            },
            None => Err(Code::INTERNAL),
        };
        self.abandon(running);
        Some(write_reply::<C>(port, answer, out))
    }

    fn abandon(&mut self, running: usize) {
        if let Some(place) = self.places.get_mut(running) {
            place.as_mut().set(None);
            self.free.push(running);
        }
    }
}

#[inline]
fn resume<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn write_reply<C: Command>(port: &Port, answer: Answer<C::Reply>, out: &mut Vec<u8>) -> Code {
    match answer {
        Ok(mut done) => write_body::<C>(port, done.code, &mut done.reply, out),
        Err(code) => {
            begin_reply(port, C::ABOUT.code, code, out);
            code
        }
    }
}

#[inline]
pub(super) fn write_body<C: Command>(
    port: &Port,
    code: Code,
    reply: &mut C::Reply,
    out: &mut Vec<u8>,
) -> Code {
    let start = out.len();
    begin_reply(port, C::ABOUT.code, code, out);
    let mut writer = Writer::new(out, &port.settings, port.ebcdic, None);
    if let Err(code) = reply.walk(&mut writer) {
        out.truncate(start);
        begin_reply(port, C::ABOUT.code, code, out);
        return code;
    }
    code
}
