//! The file of wire examples: requests and what must come back (tests/vectors/README.md).

use crate::model::{self, Alg, Key};
use crate::pattern::Pattern;
use crate::{hex, wire};
use serde::Deserialize;
use std::collections::HashMap;

/// The file.
#[derive(Deserialize)]
pub struct File {
    /// Its cases.
    pub cases: Vec<Case>,
}

impl File {
    /// The file beside the tests.
    pub fn load() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/wire-examples.json");
        let text = std::fs::read_to_string(path).expect("wire examples");
        serde_json::from_str(&text).expect("wire examples in their format")
    }
}

/// Steps that must hold one after the other.
#[derive(Clone, Deserialize)]
pub struct Case {
    /// Name.
    pub id: String,
    /// Command under test.
    pub command: String,
    /// LMK, and so the port.
    pub slot: u8,
    /// Settings under which it holds.
    pub needs: Vec<String>,
    /// Requests.
    pub steps: Vec<Step>,
}

impl Case {
    /// Codes of all commands that the case uses.
    pub fn commands(&self) -> Vec<[u8; 2]> {
        let code = |step: &Step| wire::bytes(&step.req).first_chunk::<2>().copied();
        self.steps.iter().filter_map(code).collect()
    }
}

/// A request and its reply.
#[derive(Clone, Deserialize)]
pub struct Step {
    /// Characters are bytes; `${name}` is text from an earlier reply.
    pub req: String,
    /// Trailer that must come back.
    pub trailer: Option<String>,
    /// Reply.
    pub expect: Expect,
}

/// What must come back.
#[derive(Clone, Deserialize)]
pub struct Expect {
    /// Code; `!` is any refusal.
    pub code: String,
    /// Codes that are right as well.
    pub also_ok: Option<Vec<String>>,
    /// Body; none for a refusal.
    pub body: Option<Vec<Part>>,
    /// Bodies of which one must fit.
    pub alts: Option<Vec<Vec<Part>>>,
}

/// A part of a body.
#[derive(Clone, Deserialize)]
#[serde(tag = "k", rename_all = "lowercase")]
pub enum Part {
    /// This text.
    Lit {
        /// Text.
        v: String,
    },
    /// Text of a pattern.
    Re {
        /// Pattern.
        re: String,
        /// Name to save it under.
        save: Option<String>,
    },
    /// Everything to the end, of a pattern.
    Rest {
        /// Pattern.
        re: String,
        /// Name to save it under.
        save: Option<String>,
    },
    /// So many bytes.
    Bytes {
        /// Number.
        n: usize,
    },
    /// A key.
    Key(KeyPart),
    /// Check value of a saved key.
    Kcv {
        /// Name of the key.
        of: String,
        /// Digits.
        n: usize,
    },
    /// A PIN block.
    PinBlock {
        /// Clear key.
        key: String,
        /// Its cipher.
        alg: Alg,
        /// Format.
        fmt: String,
        /// Account field.
        acct: String,
        /// PIN, or any.
        pin: Option<String>,
        /// Length of a PIN that may be any.
        pinlen: Option<usize>,
    },
}

/// A wrapped key.
#[derive(Clone, Deserialize)]
pub struct KeyPart {
    under: String,
    slot: Option<u8>,
    #[serde(default)]
    vtype: String,
    scheme: String,
    clear: Option<String>,
    same: Option<String>,
    save: Option<String>,
    n: usize,
    alg: Alg,
    #[serde(default)]
    hdr: HashMap<String, String>,
}

/// What earlier replies of a case gave.
#[derive(Clone, Default)]
pub struct Saved {
    text: HashMap<String, Vec<u8>>,
    keys: HashMap<String, (Alg, Key)>,
}

impl Saved {
    /// The bytes of a request, with what was saved in its places.
    pub fn request(&self, step: &Step) -> Result<Vec<u8>, String> {
        let (mut out, mut rest) = (Vec::new(), step.req.as_str());
        while let Some((before, behind)) = rest.split_once("${") {
            let (name, after) = behind.split_once('}').ok_or("unclosed name")?;
            out.extend(wire::bytes(before));
            out.extend(self.text.get(name).ok_or(format!("nothing saved as {name}"))?);
            rest = after;
        }
        out.extend(wire::bytes(rest));
        if let Some(trailer) = &step.trailer {
            out.push(0x19);
            out.extend(wire::bytes(trailer));
        }
        Ok(out)
    }
}

/// How a reply fits.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As expected: go on.
    Expected,
    /// Another right code: later steps of the case have no ground.
    AlsoRight,
}

/// Holds a reply, reply code first, against a step.
pub fn judge(step: &Step, reply: &[u8], saved: &mut Saved) -> Result<Verdict, String> {
    let reply = match &step.trailer {
        None => reply,
        Some(trailer) => {
            let tail = [&[0x19], wire::bytes(trailer).as_slice()].concat();
            reply.strip_suffix(tail.as_slice()).ok_or("trailer is not there")?
        }
    };
    let request = wire::bytes(&step.req);
    if reply.len() < 4 || reply[0] != request[0] || reply[1] != request[1] + 1 {
        return Err("reply code".to_owned());
    }
    let (code, body) = (wire::text(&reply[2..4]), &reply[4..]);
    let expect = &step.expect;
    let expected = code == expect.code || (expect.code == "!" && code != "00");
    if !expected {
        return if expect.also_ok.iter().flatten().any(|c| *c == code) && body.is_empty() {
            Ok(Verdict::AlsoRight)
        } else {
            Err(format!(
                "code {code}, expected {} {:?}",
                expect.code,
                expect.also_ok.as_deref().unwrap_or(&[])
            ))
        };
    }
    let bodies = match (&expect.alts, &expect.body) {
        (Some(alternatives), _) if !alternatives.is_empty() => alternatives.as_slice(),
        (_, Some(body)) => std::slice::from_ref(body),
        (_, None) => &[Vec::new()],
    };
    let mut failures = Vec::new();
    for parts in bodies {
        let mut trial = saved.clone();
        match parts_fit(parts, body, &mut trial) {
            Ok(()) => {
                *saved = trial;
                return Ok(Verdict::Expected);
            }
            Err(failure) => failures.push(failure),
        }
    }
    Err(failures.join("; or "))
}

fn parts_fit(parts: &[Part], body: &[u8], saved: &mut Saved) -> Result<(), String> {
    let Some((part, rest)) = parts.split_first() else {
        return if body.is_empty() { Ok(()) } else { Err(format!("left over: {}", wire::text(body))) };
    };
    let mut failure = String::from("pattern does not fit");
    for length in part.lengths(body)? {
        let mut trial = saved.clone();
        let (head, tail) = body.split_at(length);
        match part.fits(head, &mut trial).and_then(|()| parts_fit(rest, tail, &mut trial)) {
            Ok(()) => {
                *saved = trial;
                return Ok(());
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

impl Part {
    // Lengths that the part may have at the beginning of `body`.
    fn lengths(&self, body: &[u8]) -> Result<Vec<usize>, String> {
        let length = match self {
            Self::Lit { v } => wire::bytes(v).len(),
            Self::Re { re, .. } => return Pattern::new(re).map(|p| p.lengths(body)),
            Self::Rest { re, .. } => {
                return Pattern::new(re).map(|p| if p.is_whole(body) { vec![body.len()] } else { vec![] });
            }
            Self::Bytes { n } | Self::Kcv { n, .. } => *n,
            Self::Key(key) => key.length(body)?,
            Self::PinBlock { alg, .. } => {
                if *alg == 'A' {
                    32
                } else {
                    16
                }
            }
        };
        if length > body.len() {
            return Err(format!("{length} characters expected, there are {}", body.len()));
        }
        Ok(vec![length])
    }

    fn fits(&self, text: &[u8], saved: &mut Saved) -> Result<(), String> {
        match self {
            Self::Lit { v } => same("text", &wire::text(text), v),
            Self::Re { save, .. } | Self::Rest { save, .. } => {
                save.iter().for_each(|name| drop(saved.text.insert(name.clone(), text.to_vec())));
                Ok(())
            }
            Self::Bytes { .. } => Ok(()),
            Self::Key(key) => key.fits(text, saved),
            Self::Kcv { of, n } => {
                let (alg, key) = saved.keys.get(of).ok_or("no such key")?;
                same("check value", &wire::text(text), &model::check_value(*alg, key, *n))
            }
            Self::PinBlock { key, alg, fmt, acct, pin, pinlen } => {
                let found = model::pin_of(*alg, &hex::decode(key)?, fmt, acct, &wire::text(text))?;
                if let Some(pin) = pin {
                    same("PIN", &found, pin)?;
                }
                same("PIN length", &found.len(), &pinlen.unwrap_or(found.len()))
            }
        }
    }
}

fn same<T: PartialEq + std::fmt::Display>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} {found}, expected {expected}")) }
}

impl KeyPart {
    fn length(&self, body: &[u8]) -> Result<usize, String> {
        Ok(match self.scheme.as_str() {
            "U" | "X" => 33,
            "T" | "Y" => 49,
            "S" | "R" => {
                let digits = body.get(2..6).ok_or("no key block")?;
                1 + wire::text(digits).parse::<usize>().map_err(|e| format!("block length: {e}"))?
            }
            _ => 2 * self.n,
        })
    }

    fn fits(&self, text: &[u8], saved: &mut Saved) -> Result<(), String> {
        let token = wire::text(text);
        if !matches!(self.scheme.as_str(), "" | "Z") && !token.starts_with(&self.scheme) {
            return Err(format!("scheme of {token}, expected {}", self.scheme));
        }
        let (header, clear) = self.open(&token)?;
        same("key length", &clear.len(), &self.n)?;
        if let Some(expected) = &self.clear {
            same("clear key", &hex::encode(&clear), expected)?;
        }
        if let Some(other) = &self.same {
            let (_, other) = saved.keys.get(other).ok_or("no such key")?;
            same("clear key", &hex::encode(&clear), &hex::encode(other))?;
        }
        for (name, expected) in &self.hdr {
            let found =
                header.as_ref().and_then(|h| h.field(name)).ok_or(format!("no header field {name}"))?;
            same(name, &found, &expected.as_str())?;
        }
        if let Some(name) = &self.save {
            saved.text.insert(name.clone(), text.to_vec());
            saved.keys.insert(name.clone(), (self.alg, clear));
        }
        Ok(())
    }

    fn open(&self, token: &str) -> Result<(Option<model::Header>, Key), String> {
        let lmk = self.under == "lmk";
        match (self.scheme.as_str(), lmk) {
            ("S", true) => {
                let lmk = if self.slot == Some(1) { model::TDES_BLOCK_LMK } else { model::AES_BLOCK_LMK };
                model::open_s(&hex::decode(lmk)?, &token[1..]).map(|(h, k)| (Some(h), k))
            }
            ("S", false) => model::open_s(&hex::decode(&self.under)?, &token[1..]).map(|(h, k)| (Some(h), k)),
            ("R", _) => model::open_tr31(&hex::decode(&self.under)?, &token[1..]).map(|(h, k)| (Some(h), k)),
            (_, true) => model::open_variant(&self.vtype, token).map(|k| (None, k)),
            (_, false) => model::open_x917(&hex::decode(&self.under)?, token).map(|k| (None, k)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(expect: &str) -> Step {
        let text = format!(r#"{{"req": "CC1", "trailer": null, "expect": {expect}}}"#);
        serde_json::from_str(&text).expect("a step")
    }

    fn verdict(expect: &str, reply: &str) -> Result<Verdict, String> {
        judge(&step(expect), reply.as_bytes(), &mut Saved::default())
    }

    #[test]
    fn every_case_of_the_file_is_understood() {
        let cases = File::load().cases;
        assert_eq!(cases.len(), 345);
        assert!(cases.iter().all(|case| case.commands().len() == case.steps.len()));
    }

    #[test]
    fn codes() {
        let refusal = r#"{"code": "20", "body": null, "also_ok": ["24"]}"#;
        assert_eq!(verdict(refusal, "CD20"), Ok(Verdict::Expected));
        assert_eq!(verdict(refusal, "CD24"), Ok(Verdict::AlsoRight));
        for wrong in ["CD00", "CD15", "CC20", "CD20x", "CD24x", "CD2", ""] {
            assert!(verdict(refusal, wrong).is_err(), "{wrong}");
        }
        let any = r#"{"code": "!", "body": null}"#;
        assert_eq!(verdict(any, "CD77"), Ok(Verdict::Expected));
        assert!(verdict(any, "CD00").is_err());
    }

    #[test]
    fn bodies_are_judged_to_their_end() {
        let body = r#"{"code": "00", "body": [{"k": "re", "re": "\\d{1,3}", "save": "n"}, {"k": "lit", "v": "9x"}]}"#;
        assert_eq!(verdict(body, "CD00129x"), Ok(Verdict::Expected));
        for wrong in ["CD009x", "CD00129y", "CD00129xx", "CD0012"] {
            assert!(verdict(body, wrong).is_err(), "{wrong}");
        }
        let alternatives =
            r#"{"code": "00", "body": [], "alts": [[{"k": "lit", "v": "a"}], [{"k": "bytes", "n": 2}]]}"#;
        assert_eq!(verdict(alternatives, "CD00a"), Ok(Verdict::Expected));
        assert_eq!(verdict(alternatives, "CD00zz"), Ok(Verdict::Expected));
        assert!(verdict(alternatives, "CD00").is_err() && verdict(alternatives, "CD00b").is_err());
    }

    #[test]
    fn trailers_and_saved_text() {
        let mut saved = Saved::default();
        let text = r#"{"req": "CC${n}!", "trailer": "tail", "expect": {"code": "00", "body": []}}"#;
        let step: Step = serde_json::from_str(text).expect("a step");
        assert!(saved.request(&step).is_err(), "nothing was saved");
        saved.text.insert("n".to_owned(), b"12".to_vec());
        assert_eq!(saved.request(&step).expect("request"), b"CC12!\x19tail");
        assert!(judge(&step, b"CD00\x19tail", &mut saved).is_ok());
        assert!(judge(&step, b"CD00", &mut saved).is_err());
        assert!(judge(&step, b"CD00\x19tale", &mut saved).is_err());
    }

    #[test]
    fn keys_and_check_values_are_opened_not_believed() {
        let expect = |clear: &str| {
            format!(
                r#"{{"code": "00", "body": [{{"k": "key", "under": "lmk", "slot": 0, "vtype": "209", "scheme": "U",
                "clear": "{clear}", "save": "key", "n": 16, "alg": "T"}}, {{"k": "kcv", "of": "key", "n": 6}}]}}"#
            )
        };
        let right = expect("F1F1F1F1F1F1F1F1C1C1C1C1C1C1C1C1");
        assert!(verdict(&right, "CD00U5178C9D3D1052B15BF6AEC458B4A45648357D9").is_ok());
        assert!(verdict(&right, "CD00U5178C9D3D1052B15BF6AEC458B4A45648357D8").is_err(), "check value");
        assert!(verdict(&right, "CD00U5178C9D3D1052B15BF6AEC458B4A45658357D9").is_err(), "cryptogram");
        assert!(verdict(&right, "CD00X5178C9D3D1052B15BF6AEC458B4A45648357D9").is_err(), "scheme");
        let wrong = expect("F1F1F1F1F1F1F1F1C1C1C1C1C1C1C1C2");
        assert!(verdict(&wrong, "CD00U5178C9D3D1052B15BF6AEC458B4A45648357D9").is_err(), "clear key");
    }

    #[test]
    fn pin_blocks_are_opened() {
        let expect = |pin: &str| {
            format!(
                r#"{{"code": "00", "body": [{{"k": "pinblock", "key": "F1F1F1F1F1F1F1F1C1C1C1C1C1C1C1C1",
                "alg": "T", "fmt": "01", "acct": "111111111111", "pin": "{pin}"}}]}}"#
            )
        };
        let key = hex::decode("F1F1F1F1F1F1F1F1C1C1C1C1C1C1C1C1").expect("hex");
        let block = model::tdes_ecb(&key, true, &hex::decode("041225EEEEEEEEEE").expect("hex"));
        let reply = format!("CD00{}", hex::encode(&block));
        assert!(verdict(&expect("1234"), &reply).is_ok());
        assert!(verdict(&expect("1235"), &reply).is_err());
        assert!(verdict(&expect("1234"), "CD000000000000000000").is_err());
    }
}
