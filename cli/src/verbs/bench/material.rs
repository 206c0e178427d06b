//! Requests with what must be answered. Where the clear keys are known (the gateway of the run, whose LMKs are
//! public, or a file of keys), replies are worked out by cryptography that is not the unit's. Where they are
//! not, what is expected comes from another command than the measured one.

mod asked;
mod known;

use super::expect::Expect;
use super::keys::{Clear, Held, Keys, Role};
use super::preset::Kind;
use crate::oracle::sblock::{self, TestLmk};
use crate::oracle::{self, Key};
use hostclient::{Client, Error};
use std::fmt;
use std::sync::Arc;

/// Different requests of one command.
const ROUND: usize = 256;
/// Different keys of a translation.
const ZPKS: usize = 16;

/// A request and what must be answered.
#[derive(Clone, Debug)]
pub struct Item {
    /// Command code first.
    pub request: Vec<u8>,
    /// Reply code first.
    pub expect: Expect,
    /// No command of the unit had a part in what is expected.
    pub independent: bool,
}

/// Why there is nothing to send.
#[derive(Debug)]
pub enum Trouble {
    /// The unit cannot be talked to.
    Wire(Error),
    /// The unit refuses a command that makes material.
    Refused(String),
    /// The file of keys does not have what is needed.
    Keys(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wire(error) => write!(f, "making keys and requests: {error}"),
            Self::Refused(what) => {
                let hint = if ["A0", "A6", "A8"].iter().any(|code| what.contains(code)) {
                    " (let the unit make keys: authorised, on a listener of that role; or name its keys by --keys)"
                } else {
                    ""
                };
                write!(f, "making keys and requests: {what}{hint}")
            }
            Self::Keys(what) => write!(f, "--keys: {what}"),
        }
    }
}

/// A public test LMK, whose keys this program can make itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnLmk {
    /// 00.
    Variant,
    /// 01 and 02.
    Block(TestLmk),
}

impl OwnLmk {
    /// By its identifier.
    pub fn of(id: &str) -> Option<Self> {
        match id {
            "00" => Some(Self::Variant),
            "01" => Some(Self::Block(TestLmk::Tdes)),
            "02" => Some(Self::Block(TestLmk::Aes)),
            _ => None,
        }
    }

    fn zmk(self, id: &str, key: &Key) -> String {
        match self {
            Self::Variant => oracle::under_test_lmk(oracle::TEST_ZMK_PAIR, 0, key),
            Self::Block(lmk) => sblock::wrap(lmk, "K0TB00E", id, key, 0x5A),
        }
    }
}

/// Makes keys and requests.
pub struct Maker {
    client: Client,
    /// Behind every request.
    selector: String,
    /// The unit has a key-block LMK.
    blocks: bool,
    keys: Keys,
    /// A ZMK whose clear value is known: every other key can come in under it.
    zmk: Option<Held>,
    /// The LMK of the unit, where it is a public one.
    own: Option<OwnLmk>,
}

impl Maker {
    /// Over a connection. `own` is the identifier of a public test LMK that the unit is known to have.
    pub async fn new(
        client: Client,
        selector: String,
        keys: Keys,
        own: Option<&str>,
        kinds: &[Kind],
    ) -> Result<Self, Trouble> {
        let mut maker = Self { client, selector, blocks: false, keys, zmk: None, own: None };
        if let Some((id, lmk)) = own.and_then(|id| OwnLmk::of(id).map(|lmk| (id, lmk))) {
            let key = random_key();
            let (token, clear) = (lmk.zmk(id, &key), Some(Arc::new(Clear::new(key))));
            maker.zmk = Some(Held { token, clear });
            maker.own = Some(lmk);
            maker.blocks = lmk != OwnLmk::Variant;
        } else {
            maker.zmk = maker.keys.of(Role::Zmk).into_iter().find(|held| held.clear.is_some());
            maker.blocks = match maker.keys.blocks() {
                Some(blocks) => blocks,
                None if kinds.iter().all(|kind| kind.needs_no_key()) => false,
                None => maker.find_kind().await?,
            };
        }
        Ok(maker)
    }

    // Which kind of LMK the unit has shows in how it makes a ZPK.
    async fn find_kind(&mut self) -> Result<bool, Trouble> {
        let Err(Trouble::Refused(variant)) = self.generate(Role::Zpk).await else { return Ok(false) };
        self.blocks = true;
        match self.generate(Role::Zpk).await {
            Ok(_) => Ok(true),
            Err(Trouble::Refused(block)) => Err(Trouble::Refused(format!("{variant}; {block}"))),
            Err(other) => Err(other),
        }
    }

    /// A round of requests of a command.
    pub async fn items(&self, kind: Kind) -> Result<Vec<Item>, Trouble> {
        match kind {
            Kind::B2 => Ok((0..ROUND).map(|n| self.echo(n)).collect()),
            Kind::Nc => self.diagnostics().await,
            Kind::Cc | Kind::Ca => self.translations(kind).await,
            Kind::Dc | Kind::Ec => self.pin_verifications(kind).await,
            Kind::Cw | Kind::Cy => self.card_values(kind).await,
            Kind::M6 | Kind::M8 => self.macs(kind).await,
            Kind::G0 => self.dukpt().await,
            Kind::A0 => self.generations().await,
            Kind::A6 | Kind::A8 => self.exchanges(kind).await,
        }
    }

    // What stands behind code 00. A refusal names the command and the code, nothing that was sent.
    async fn ask(&self, request: &str) -> Result<String, Trouble> {
        let reply = self.client.exchange(request.to_owned()).await.map_err(Trouble::Wire)?;
        let reply = String::from_utf8_lossy(&reply).into_owned();
        match reply.get(2..4) {
            Some("00") => Ok(reply.get(4..).unwrap_or_default().to_owned()),
            code => {
                let (command, code) = (request.get(..2).unwrap_or_default(), code.unwrap_or("none"));
                Err(Trouble::Refused(format!("{command} answered {code}")))
            }
        }
    }

    /// Keys of a role, at most so many: those of the file, or new ones whose clear value is known, or new ones
    /// of the unit.
    async fn keys(&self, role: Role, count: usize) -> Result<Vec<Held>, Trouble> {
        let mut held = self.keys.of(role);
        held.truncate(count);
        if !held.is_empty() {
            return Ok(held);
        }
        for _ in 0..count {
            held.push(match &self.zmk {
                Some(zmk) if role == Role::Zmk => zmk.clone(),
                Some(zmk) => self.bring_in(role, zmk).await?,
                None => self.generate(role).await?,
            });
        }
        Ok(held)
    }

    async fn key(&self, role: Role) -> Result<Held, Trouble> {
        let first = self.keys(role, 1).await?.into_iter().next();
        first.ok_or_else(|| Trouble::Keys(format!("no {}", role.name())))
    }

    // A new key, in a TR-31 block under the ZMK.
    async fn bring_in(&self, role: Role, zmk: &Held) -> Result<Held, Trouble> {
        let Some(under) = &zmk.clear else { return self.generate(role).await };
        let clear = Clear::new(random_key());
        let block = oracle::tr31_wrap(under.expose(), role.tr31(), clear.expose(), random());
        let imported = self.ask(&self.import(role, &zmk.token, &block)).await?;
        Ok(Held { token: without_check_value(imported), clear: Some(Arc::new(clear)) })
    }

    fn import(&self, role: Role, zmk: &str, block: &str) -> String {
        let (key_type, scheme) = if self.blocks { ("FFF", 'S') } else { (role.key_type(), 'U') };
        format!("A6{key_type}{zmk}{block}{scheme}{}", self.selector)
    }

    fn export(&self, zmk: &str, key: &str) -> String {
        let selector = &self.selector;
        if self.blocks {
            format!("A8FFF{zmk}{key}R{selector}!B")
        } else {
            format!("A8001{zmk}{key}R{selector}&P0B00E00!B")
        }
    }

    async fn generate(&self, role: Role) -> Result<Held, Trouble> {
        let selector = &self.selector;
        let request = if self.blocks {
            format!("A00FFFS{selector}#{}", role.group())
        } else {
            format!("A00{}U{selector}", role.key_type())
        };
        let token = self.ask(&request).await.map(without_check_value)?;
        Ok(Held { token, clear: None })
    }

    fn item(&self, request: &str, expect: Expect, independent: bool) -> Item {
        let request = format!("{request}{}", self.selector).into_bytes();
        Item { request, expect, independent }
    }

    fn echo(&self, n: usize) -> Item {
        let data = format!("{n:064}");
        self.item(&format!("B20040{data}"), Expect::Bytes(format!("B300{data}").into_bytes()), true)
    }
}

impl Role {
    // Key type under a variant LMK.
    const fn key_type(self) -> &'static str {
        match self {
            Self::Zmk => "000",
            Self::Zpk => "001",
            Self::Tpk | Self::Pvk => "002",
            Self::Cvk => "402",
            Self::Tak => "003",
            Self::Bdk => "009",
        }
    }

    // Usage, mode and exportability of a TR-31 block.
    const fn tr31(self) -> &'static str {
        match self {
            Self::Zmk => "K0TB00E",
            Self::Zpk | Self::Tpk => "P0TB00E",
            Self::Pvk => "V2TC00E",
            Self::Cvk => "C0TC00E",
            Self::Tak => "M3TC00E",
            Self::Bdk => "B0TX00E",
        }
    }

    // The `#` group of a key that the unit makes: usage, algorithm, mode, version, exportability, no optional
    // block.
    const fn group(self) -> &'static str {
        match self {
            Self::Zmk => "K0T2B00N00",
            Self::Zpk | Self::Tpk => "P0T2B00E00",
            Self::Pvk => "V2T2C00N00",
            Self::Cvk => "C0T2C00N00",
            Self::Tak => "M3T2C00N00",
            Self::Bdk => "B0T2X00N00",
        }
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // Without randomness of the system nothing else would work either.
    getrandom::fill(&mut bytes).unwrap_or_else(|error| unreachable!("randomness of the system: {error}"));
    bytes
}

fn random_key() -> Key {
    oracle::odd(random())
}

fn without_check_value(mut text: String) -> String {
    text.truncate(text.len().saturating_sub(6));
    text
}

// Twelve digits; the factor spreads them.
fn account(n: usize) -> String {
    format!("{:012}", (n + 1) * 104_729)
}

// A PAN of 16 digits, and what stands behind it in commands for card values.
fn card(n: usize) -> String {
    format!("4{:015}", (n + 1) * 7_368_787)
}

const EXPIRY: &str = "3012";
const SERVICE: &str = "201";
