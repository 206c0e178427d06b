//! What the demo does, command by command, and how each answer is checked.

use super::wire::Wire;
use crate::oracle::{self, Key};
use std::collections::BTreeMap;
use std::io;

/// What happened to one command.
#[derive(Debug)]
pub struct Event {
    /// What was tried, for people.
    pub what: &'static str,
    /// Request behind the header.
    pub request: Vec<u8>,
    /// Reply behind the header.
    pub reply: Vec<u8>,
    /// The answer is what the demo's own cryptography says.
    pub right: bool,
}

/// Verified replies by command, and the wrong ones.
#[derive(Debug, Default)]
pub struct Tally {
    /// Verified replies by command code.
    pub commands: BTreeMap<String, u64>,
    /// Replies that were not right.
    pub wrong: u64,
}

impl Tally {
    /// Counts a reply.
    pub fn count(&mut self, code: &str, replies: u64, wrong: u64) {
        *self.commands.entry(code.to_owned()).or_default() += replies - wrong;
        self.wrong += wrong;
    }
}

/// Keys that both sides know, and the tokens by which the server names them.
#[derive(Debug)]
pub struct Keys {
    /// First zone: clear key and token.
    pub zone_a: (Key, String),
    /// Second zone.
    pub zone_b: (Key, String),
}

// A ZMK component is one more variant of the pair of ZMKs (XOR FF in byte 0).
use oracle::TEST_ZMK_PAIR as ZMK_PAIR;

const PAN: &str = "4000001234567899";
const ACCOUNT: &str = "000123456789";
const PIN: &str = "92389";

/// The conversation.
pub struct Session<'a> {
    wire: Wire,
    tally: &'a mut Tally,
    report: &'a mut dyn FnMut(&Event),
    random: fn(&mut [u8]),
}

impl<'a> Session<'a> {
    /// Over a connection to an LMK 00 listener in the authorised state.
    pub fn new(
        wire: Wire,
        tally: &'a mut Tally,
        report: &'a mut dyn FnMut(&Event),
        random: fn(&mut [u8]),
    ) -> Self {
        Self { wire, tally, report, random }
    }

    fn key(&self) -> Key {
        let mut key = [0; 16];
        (self.random)(&mut key);
        oracle::odd(key)
    }

    // Sends a command and lets `check` judge the text behind reply code and error code.
    fn step(
        &mut self,
        what: &'static str,
        request: &str,
        code: &str,
        check: impl FnOnce(&str) -> bool,
    ) -> io::Result<String> {
        let reply = self.wire.exchange(request.as_bytes())?;
        let text = String::from_utf8_lossy(&reply).into_owned();
        let body = text.get(4..).unwrap_or_default().to_owned();
        let right = text.get(2..4) == Some(code) && check(&body);
        self.tally.count(&request[..2], 1, u64::from(!right));
        (self.report)(&Event { what, request: request.into(), reply, right });
        Ok(body)
    }

    /// All steps. Gives the keys for the throughput run; `None` when a step went so wrong that there are none.
    pub fn run(&mut self) -> io::Result<Option<Keys>> {
        self.step("diagnostics", "NC", "00", |body| body.len() == 25)?;
        self.step("echo", "B20005HELLO", "00", |body| body == "HELLO")?;
        let (zmk, zmk_token) = self.form_zmk()?;
        let Some(zone_a) = self.generate_zpk(&zmk, &zmk_token)? else { return Ok(None) };
        let zone_b = self.import("import a ZPK in TR-31", "001", "P0TB00E", &zmk, &zmk_token)?;
        let tpk = self.import("import a TPK in TR-31", "002", "P0TB00E", &zmk, &zmk_token)?;
        let pvk = self.import("import a PVK (Visa) in TR-31", "002", "V2TC00E", &zmk, &zmk_token)?;
        let ibm = self.import("import a PVK (IBM) in TR-31", "002", "V1TC00E", &zmk, &zmk_token)?;
        let cvk = self.import("import a CVK in TR-31", "402", "C0TC00E", &zmk, &zmk_token)?;
        let tak = self.import("import a TAK in TR-31", "003", "M3TC00E", &zmk, &zmk_token)?;
        self.export(&zone_b, &zmk, &zmk_token)?;
        self.pins(&tpk, &zone_a, &zone_b)?;
        self.verify_pins(&tpk, &pvk, &ibm)?;
        self.cards(&cvk)?;
        self.macs(&tak)?;
        Ok(Some(Keys { zone_a, zone_b }))
    }

    fn form_zmk(&mut self) -> io::Result<(Key, String)> {
        let (one, two) = (self.key(), self.key());
        let zmk = oracle::odd(core::array::from_fn(|i| one[i] ^ two[i]));
        let component = |key: &Key| oracle::under_test_lmk(ZMK_PAIR, 0, key);
        let request = format!("A42000U{}{}", component(&one), component(&two));
        let expected = format!("{}{}", oracle::under_test_lmk(ZMK_PAIR, 0, &zmk), oracle::kcv(&zmk));
        let body = self.step("form a ZMK from two components", &request, "00", |b| b == expected)?;
        Ok((zmk, body.get(..33).unwrap_or_default().to_owned()))
    }

    fn generate_zpk(&mut self, zmk: &Key, zmk_token: &str) -> io::Result<Option<(Key, String)>> {
        let request = format!("A01001U;0{zmk_token}R&P0B00E00!B");
        let mut found = None;
        self.step("generate a ZPK and export it in TR-31", &request, "00", |body| {
            let (Some(token), Some(rest)) = (body.get(..33), body.get(33..)) else { return false };
            let Some((block, kcv)) = rest.split_at_checked(rest.len().saturating_sub(6)) else {
                return false;
            };
            found = oracle::tr31_unwrap(zmk, block).map(|key| (key, token.to_owned()));
            found.as_ref().is_some_and(|(key, token)| {
                kcv == oracle::kcv(key) && *token == oracle::under_test_lmk(ZPK_PAIR, 0, key)
            })
        })?;
        Ok(found)
    }

    fn import(
        &mut self,
        what: &'static str,
        key_type: &str,
        attributes: &str,
        zmk: &Key,
        zmk_token: &str,
    ) -> io::Result<(Key, String)> {
        let key = self.key();
        let mut pad = [0; 6];
        (self.random)(&mut pad);
        let block = oracle::tr31_wrap(zmk, attributes, &key, pad);
        let (pair, variant) = pair_of(key_type);
        let token = oracle::under_test_lmk(pair, variant, &key);
        let expected = format!("{token}{}", oracle::kcv(&key));
        self.step(what, &format!("A6{key_type}{zmk_token}{block}U"), "00", |body| body == expected)?;
        Ok((key, token))
    }

    fn export(&mut self, key: &(Key, String), zmk: &Key, zmk_token: &str) -> io::Result<()> {
        let request = format!("A8001{zmk_token}{}R&P0B00E00!B", key.1);
        let check = |body: &str| {
            let Some((block, kcv)) = body.split_at_checked(body.len().saturating_sub(6)) else {
                return false;
            };
            oracle::tr31_unwrap(zmk, block) == Some(key.0) && kcv == oracle::kcv(&key.0)
        };
        self.step("export that ZPK in TR-31 again", &request, "00", check).map(drop)
    }

    fn pins(&mut self, tpk: &(Key, String), a: &(Key, String), b: &(Key, String)) -> io::Result<()> {
        let clear = oracle::iso0(PIN, ACCOUNT);
        let block = |key: &Key| oracle::hex(&oracle::encrypt(key, clear));
        let reply = |key: &Key| format!("{:02}{}01", PIN.len(), block(key));
        let request = format!("CA{}{}12{}0101{ACCOUNT}", tpk.1, a.1, block(&tpk.0));
        self.step("translate a PIN from terminal to zone", &request, "00", |body| body == reply(&a.0))?;
        let request = format!("CC{}{}12{}0101{ACCOUNT}", a.1, b.1, block(&a.0));
        self.step("translate it from zone to zone", &request, "00", |body| body == reply(&b.0))?;
        let request = format!("CC{}{}12{}0105{ACCOUNT}", a.1, b.1, block(&a.0));
        self.step("a block that loses its account is refused", &request, "23", str::is_empty).map(drop)
    }

    fn verify_pins(
        &mut self,
        tpk: &(Key, String),
        pvk: &(Key, String),
        ibm: &(Key, String),
    ) -> io::Result<()> {
        let block = |pin| oracle::hex(&oracle::encrypt(&tpk.0, oracle::iso0(pin, ACCOUNT)));
        let pvv = oracle::pvv(&pvk.0, PIN, ACCOUNT, "1");
        let visa = |pin| format!("DC{}{}{}01{ACCOUNT}1{pvv}", tpk.1, pvk.1, block(pin));
        self.step("verify a PIN by PVV", &visa(PIN), "00", str::is_empty)?;
        self.step("a wrong PIN is refused", &visa("82389"), "01", str::is_empty)?;
        // Validation data: the account with its last five digits where N stands.
        let offset = oracle::ibm_offset(&ibm.0, PIN, &format!("{}FFFF", ACCOUNT));
        let validation = format!("{}N", &ACCOUNT[..7]);
        let request = |pin| {
            let table = "0123456789012345";
            let (key, pvk) = (&tpk.1, &ibm.1);
            format!(
                "DA{key}{pvk}12{}01{:02}{ACCOUNT}{table}{validation:F<12}{offset:F<12}",
                block(pin),
                PIN.len()
            )
        };
        self.step("verify a PIN by IBM offset", &request(PIN), "00", str::is_empty)?;
        self.step("a wrong PIN is refused", &request("02389"), "01", str::is_empty).map(drop)
    }

    fn cards(&mut self, cvk: &(Key, String)) -> io::Result<()> {
        let cvv = oracle::cvv(&cvk.0, PAN, "2812", "201");
        let request = format!("CW{}{PAN};2812201", cvk.1);
        self.step("make a CVV", &request, "00", |body| body == cvv)?;
        let request = |cvv: &str| format!("CY{}{cvv}{PAN};2812201", cvk.1);
        self.step("verify it", &request(&cvv), "00", str::is_empty)?;
        let other = format!("{:03}", (cvv.parse::<u32>().unwrap_or_default() + 1) % 1000);
        self.step("a wrong CVV is refused", &request(&other), "01", str::is_empty).map(drop)
    }

    fn macs(&mut self, tak: &(Key, String)) -> io::Result<()> {
        let data = b"0200 a payment of 24 ch.";
        let mac = oracle::hex(&oracle::retail_mac(&tak.0, data));
        let text = String::from_utf8_lossy(data);
        let head = format!("00130003{}{:04X}{text}", tak.1, data.len());
        self.step("make a MAC", &format!("M6{head}"), "00", |body| body == mac)?;
        self.step("verify it", &format!("M8{head}{mac}"), "00", str::is_empty)?;
        let changed = head.replace("24 ch.", "99 ch.");
        self.step("a changed message is refused", &format!("M8{changed}{mac}"), "01", str::is_empty).map(drop)
    }
}

const ZPK_PAIR: Key =
    [0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x61, 0x70, 0x70, 0x70, 0x70, 0x70, 0x70, 0x70, 0x70];
const PVK_PAIR: Key = [0xE0, 0xE0, 1, 1, 1, 1, 1, 1, 0xF1, 0xF1, 1, 1, 1, 1, 1, 1];
const TAK_PAIR: Key = [0x1C, 0x58, 0x7F, 0x1C, 0x13, 0x92, 0x4F, 0xEF, 1, 1, 1, 1, 1, 1, 1, 1];

// Pair of the public test set and variant byte of a key type.
fn pair_of(key_type: &str) -> (Key, u8) {
    match key_type {
        "001" => (ZPK_PAIR, 0),
        "402" => (PVK_PAIR, 0xDE),
        "003" => (TAK_PAIR, 0),
        _ => (PVK_PAIR, 0),
    }
}
