//! The frames that are sent, made through an engine of this process under the same public test LMKs.

use crate::client::Batch;
use hostcmd::{Authorised, Engine, Port, Settings, Unit};
use hsm::LmkId;
use std::io;
use std::rc::Rc;

/// Keys that the batches of one run use.
pub struct Keys {
    tokens: Vec<String>,
    lmk: LmkId,
}

/// An engine to make frames with.
pub struct Maker {
    engine: Engine,
}

impl Maker {
    /// Over the same backend as the servers'.
    pub fn new() -> Self {
        let unit = Unit { authorised: Authorised::ALL, ..Unit::default() };
        Self { engine: Engine::new(crate::server::backend(), unit) }
    }

    fn ask(&mut self, lmk: LmkId, request: &str) -> io::Result<String> {
        let port = Rc::new(Port { header_length: 0, ..Port::new(lmk, Settings::STRICT) });
        let ticket = self.engine.submit(&port, request.as_bytes());
        self.engine.run();
        let mut reply = Vec::new();
        self.engine.finish(ticket, &mut reply);
        let text = String::from_utf8_lossy(&reply).into_owned();
        match text.get(2..4) {
            Some("00") => Ok(text.get(4..).unwrap_or_default().to_owned()),
            _ => Err(io::Error::other(format!("{} answered {text}", request.get(..2).unwrap_or_default()))),
        }
    }

    /// So many ZPKs under an LMK.
    pub fn keys(&mut self, lmk: LmkId, count: usize) -> io::Result<Keys> {
        let request = if lmk == LmkId(0) { "A00001U" } else { "A00FFFS#72T2N00N00" };
        let key = |_| {
            let reply = self.ask(lmk, request)?;
            Ok(reply.get(..reply.len().saturating_sub(6)).unwrap_or_default().to_owned())
        };
        Ok(Keys { tokens: (0..count).map(key).collect::<io::Result<_>>()?, lmk })
    }

    /// So many batches of `depth` CC commands, each between two of the keys.
    pub fn batches(&mut self, keys: &Keys, depth: usize, count: usize) -> io::Result<Vec<Batch>> {
        let mut number = 0;
        let mut batches = Vec::new();
        for _ in 0..count {
            let mut batch = Batch { request: Vec::new(), reply: Vec::new(), frames: depth as u64 };
            for _ in 0..depth {
                self.add(keys, number, &mut batch)?;
                number += 1;
            }
            batches.push(batch);
        }
        Ok(batches)
    }

    fn add(&mut self, keys: &Keys, number: usize, batch: &mut Batch) -> io::Result<()> {
        let token = |n: usize| keys.tokens[n % keys.tokens.len()].as_str();
        let (source, destination) = (token(number * 2), token(number * 2 + 1));
        let account = format!("{:012}", number * 104_729);
        let stored = self.ask(keys.lmk, &format!("JA{account}05"))?;
        let block = self.ask(keys.lmk, &format!("JG{source}01{account}{stored}"))?;
        let command = format!("CC{source}{destination}12{block}0101{account}");
        let reply = format!("CD00{}", self.ask(keys.lmk, &command)?);
        let header = format!("{:04X}", number & 0xFFFF);
        append(&mut batch.request, &header, &command);
        append(&mut batch.reply, &header, &reply);
        Ok(())
    }
}

fn append(out: &mut Vec<u8>, header: &str, text: &str) {
    let length = u16::try_from(header.len() + text.len()).unwrap_or(u16::MAX);
    out.extend(length.to_be_bytes());
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(text.as_bytes());
}
