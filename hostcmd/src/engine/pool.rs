//! Running commands. Each command has a pool of pinned futures that are set anew for every request, so
//! that a command in steady state allocates nothing.

use super::frame::{Head, begin_reply};
use crate::Code;
use crate::command::{Answer, Command};
use crate::context::Cx;
use crate::wire::{Message, Reader, Writer};
use core::future::Future;
use core::marker::PhantomData;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::panic::catch_unwind;

/// A frame: as it came and in ASCII.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(super) raw: &'a [u8],
    pub(super) text: &'a [u8],
}

/// A command of the table, ready to run any number of requests at once.
pub(crate) trait Runner {
    /// Parses a frame and begins; the number names the running command.
    fn start(&mut self, cx: Cx, frame: Frame<'_>, head: &mut Head) -> Result<usize, Code>;

    /// Goes on with a running command; writes the reply behind the header when it is done.
    fn poll(&mut self, running: usize, out: &mut Vec<u8>) -> Poll<Code>;
}

struct Pool<C, F, R> {
    run: R,
    places: Vec<Place<F>>,
    free: Vec<usize>,
    command: PhantomData<C>,
}

struct Place<F> {
    future: Pin<Box<Option<F>>>,
    cx: Option<Cx>,
}

pub(crate) fn runner<C: Command>() -> Box<dyn Runner> {
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

fn parse<C: Command>(cx: &mut Cx, frame: Frame<'_>, head: &mut Head) -> Result<C::Request, Code> {
    let body = cx.port.header_length.saturating_add(2);
    let keys = cx.shared.keys.borrow();
    let mut reader = Reader::new(frame.text, frame.raw, body, &cx.port.settings).with_keys(&keys);
    let mut request = C::Request::default();
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
    Ok(request)
}

impl<C, F, R> Runner for Pool<C, F, R>
where
    C: Command,
    F: Future<Output = Answer<C::Reply>> + 'static,
    R: Fn(Cx, C::Request) -> F + 'static,
{
    fn start(&mut self, mut cx: Cx, frame: Frame<'_>, head: &mut Head) -> Result<usize, Code> {
        let request = parse::<C>(&mut cx, frame, head)?;
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { future: Box::pin(None), cx: None });
            self.places.len().saturating_sub(1)
        });
        let place = self.places.get_mut(index).ok_or(Code::INTERNAL)?;
        place.cx = Some(cx.clone());
        place.future.as_mut().set(Some((self.run)(cx, request)));
        Ok(index)
    }

    fn poll(&mut self, running: usize, out: &mut Vec<u8>) -> Poll<Code> {
        let Some(place) = self.places.get_mut(running) else { return Poll::Ready(Code::INTERNAL) };
        let Some(future) = place.future.as_mut().as_pin_mut() else { return Poll::Ready(Code::INTERNAL) };
        let mut context = Context::from_waker(Waker::noop());
        // A handler that panics costs its own command an error code and nothing else.
        let answer = match catch_unwind(AssertUnwindSafe(|| future.poll(&mut context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(answer)) => answer,
            Err(_) => Err(Code::INTERNAL),
        };
        place.future.as_mut().set(None);
        let cx = place.cx.take();
        self.free.push(running);
        match cx {
            Some(cx) => Poll::Ready(write_reply::<C>(&cx, answer, out)),
            None => Poll::Ready(Code::INTERNAL),
        }
    }
}

fn write_reply<C: Command>(cx: &Cx, answer: Answer<C::Reply>, out: &mut Vec<u8>) -> Code {
    let code = match &answer {
        Ok(done) => done.code,
        Err(code) => *code,
    };
    begin_reply(&cx.port, C::ABOUT.code, code, out);
    if let Ok(mut done) = answer {
        let start = out.len();
        let mut writer = Writer::new(out, &cx.port.settings, cx.port.ebcdic, None);
        if let Err(code) = done.reply.walk(&mut writer) {
            out.truncate(start.saturating_sub(4));
            begin_reply(&cx.port, C::ABOUT.code, code, out);
            return code;
        }
    }
    code
}
