//! Requests with the replies they must get, made over the wire by host commands alone: no key of the unit is
//! known here, so that any unit can be measured under its own LMK.
//!
//! The expected reply comes from another command than the measured one wherever the language has one: what CC
//! must answer is what JG makes of the same PIN under the other key; what verifies was made by DG, CW or M6.

use hostclient::{Client, Error};
use std::fmt;
use tokio::task::JoinSet;

/// Different requests of one command.
const ROUND: usize = 256;
/// Different DUKPT requests: each has to be found.
const ROUND_DUKPT: usize = 8;
/// About 650 random blocks hold one of ISO format 1.
const TRIES_MAX: u64 = 60_000;
const TRIES_AT_ONCE: u64 = 256;

/// A command that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PIN block, ZPK to ZPK.
    Cc,
    /// Verify a PIN by PVV.
    Dc,
    /// Verify a card value.
    Cy,
    /// Make a MAC.
    M6,
    /// Verify a MAC.
    M8,
    /// PIN block, DUKPT to ZPK.
    G0,
    /// Echo.
    B2,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Cc, Self::Dc, Self::Cy, Self::M6, Self::M8, Self::G0, Self::B2];

    /// Command code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Cc => "CC",
            Self::Dc => "DC",
            Self::Cy => "CY",
            Self::M6 => "M6",
            Self::M8 => "M8",
            Self::G0 => "G0",
            Self::B2 => "B2",
        }
    }
}

/// A request and the reply it must get, both command code first.
#[derive(Clone, Debug)]
pub struct Item {
    /// Request.
    pub request: Vec<u8>,
    /// Reply.
    pub reply: Vec<u8>,
}

/// Why there is nothing to send.
#[derive(Debug)]
pub enum Trouble {
    /// The unit cannot be talked to.
    Wire(Error),
    /// The unit refuses a command that makes material.
    Refused(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wire(error) => write!(f, "making keys and requests: {error}"),
            Self::Refused(what) => write!(f, "making keys and requests: {what}"),
        }
    }
}

/// Makes keys and requests.
pub struct Maker {
    client: Client,
    selector: String,
    blocks: bool,
}

/// How a key is made: type and usage by the kind of LMK.
struct Recipe {
    key_type: &'static str,
    block: &'static str,
}

const ZPK: Recipe = Recipe { key_type: "001", block: "P0T2B00N00" };
const PVK: Recipe = Recipe { key_type: "002", block: "V2T2C00N00" };
const CVK: Recipe = Recipe { key_type: "402", block: "C0T2C00N00" };
const TAK: Recipe = Recipe { key_type: "003", block: "M3T2C00N00" };
const BDK: Recipe = Recipe { key_type: "009", block: "B0T2X00N00" };

impl Maker {
    /// Looks which kind of LMK the unit has, by making a ZPK for it; not when nothing but `kinds` without keys
    /// will be asked for. `selector` goes behind every request.
    pub async fn new(client: Client, selector: String, kinds: &[Kind]) -> Result<Self, Trouble> {
        let mut maker = Self { client, selector, blocks: false };
        if kinds.iter().all(|kind| *kind == Kind::B2) {
            return Ok(maker);
        }
        if let Err(Trouble::Refused(variant)) = maker.key(&ZPK).await {
            maker.blocks = true;
            maker.key(&ZPK).await.map_err(|error| match error {
                Trouble::Refused(block) => Trouble::Refused(format!("{variant}; {block}")),
                wire @ Trouble::Wire(_) => wire,
            })?;
        }
        Ok(maker)
    }

    /// A round of requests of a command.
    pub async fn items(&self, kind: Kind) -> Result<Vec<Item>, Trouble> {
        match kind {
            Kind::Cc => self.translations().await,
            Kind::Dc => self.pin_verifications().await,
            Kind::Cy => self.card_values().await,
            Kind::M6 => self.macs(false).await,
            Kind::M8 => self.macs(true).await,
            Kind::G0 => self.dukpt().await,
            Kind::B2 => Ok((0..ROUND).map(|n| self.echo(n)).collect()),
        }
    }

    // What stands behind code 00. A refusal names the command and the code, nothing that was sent.
    async fn ask(&self, request: &str) -> Result<String, Trouble> {
        let whole = format!("{request}{}", self.selector_of(request));
        let reply = self.client.exchange(whole).await.map_err(Trouble::Wire)?;
        let reply = String::from_utf8_lossy(&reply).into_owned();
        match reply.get(2..4) {
            Some("00") => Ok(reply.get(4..).unwrap_or_default().to_owned()),
            code => {
                let (command, code) = (request.get(..2).unwrap_or_default(), code.unwrap_or("none"));
                Err(Trouble::Refused(format!("{command} answered {code}")))
            }
        }
    }

    // A0 carries it in front of its groups, where it is written already.
    fn selector_of(&self, request: &str) -> &str {
        if request.starts_with("A0") { "" } else { &self.selector }
    }

    async fn key(&self, recipe: &Recipe) -> Result<String, Trouble> {
        let selector = &self.selector;
        let request = if self.blocks {
            format!("A00FFFS{selector}#{}", recipe.block)
        } else {
            format!("A00{}U{selector}", recipe.key_type)
        };
        self.ask(&request).await.map(without_check_value)
    }

    // One key as ZPK, for JG to make blocks under, and as TPK. A key block of usage P0 is both; under a variant
    // LMK the key takes the way over a TR-31 block under a ZMK.
    async fn terminal_key(&self) -> Result<(String, String), Trouble> {
        if self.blocks {
            let key = self.key(&ZPK).await?;
            return Ok((key.clone(), key));
        }
        let zmk = self.key(&Recipe { key_type: "000", block: "" }).await?;
        let request = format!("A01001U;0{zmk}R{}&P0B00E00!B", self.selector);
        let both = self.ask(&request).await.map(without_check_value)?;
        let (zpk, block) = both.split_at_checked(zmk.len()).unwrap_or((&both, ""));
        let tpk = self.ask(&format!("A6002{zmk}{block}U")).await.map(without_check_value)?;
        Ok((zpk.to_owned(), tpk))
    }

    fn item(&self, request: &str, reply: String) -> Item {
        Item { request: format!("{request}{}", self.selector).into_bytes(), reply: reply.into_bytes() }
    }

    async fn translations(&self) -> Result<Vec<Item>, Trouble> {
        let mut keys = Vec::new();
        for _ in 0..16 {
            keys.push(self.key(&ZPK).await?);
        }
        let mut items = Vec::new();
        for n in 0..ROUND {
            let (from, to) = (&keys[n % keys.len()], &keys[(n + 1) % keys.len()]);
            let account = account(n);
            let stored = self.ask(&format!("JA{account}05")).await?;
            let came = self.ask(&format!("JG{from}01{account}{stored}")).await?;
            let made = self.ask(&format!("JG{to}01{account}{stored}")).await?;
            let request = format!("CC{from}{to}12{came}0101{account}");
            items.push(self.item(&request, format!("CD0005{made}01")));
        }
        Ok(items)
    }

    async fn pin_verifications(&self) -> Result<Vec<Item>, Trouble> {
        let (zpk, tpk) = self.terminal_key().await?;
        let pvk = self.key(&PVK).await?;
        let mut items = Vec::new();
        for n in 0..ROUND {
            let account = account(n);
            let stored = self.ask(&format!("JA{account}04")).await?;
            let block = self.ask(&format!("JG{zpk}01{account}{stored}")).await?;
            let pvv = self.ask(&format!("DG{pvk}{stored}{account}1")).await?;
            items.push(self.item(&format!("DC{tpk}{pvk}{block}01{account}1{pvv}"), "DD00".into()));
        }
        Ok(items)
    }

    async fn card_values(&self) -> Result<Vec<Item>, Trouble> {
        let cvk = self.key(&CVK).await?;
        let mut items = Vec::new();
        for n in 0..ROUND {
            let card = format!("4{};3012201", pan_end(n));
            let value = self.ask(&format!("CW{cvk}{card}")).await?;
            items.push(self.item(&format!("CY{cvk}{value}{card}"), "CZ00".into()));
        }
        Ok(items)
    }

    async fn macs(&self, verify: bool) -> Result<Vec<Item>, Trouble> {
        let tak = self.key(&TAK).await?;
        let key_type = if self.blocks { "FFF" } else { TAK.key_type };
        let mut items = Vec::new();
        for n in 0..ROUND {
            // Whole message, binary, eight bytes of MAC, ISO 9797-1 algorithm 3, padding 0.
            let body = format!("00130{key_type}{tak}0040{n:064}");
            let mac = self.ask(&format!("M6{body}")).await?;
            items.push(if verify {
                self.item(&format!("M8{body}{mac}"), "M900".into())
            } else {
                self.item(&format!("M6{body}"), format!("M700{mac}"))
            });
        }
        Ok(items)
    }

    fn echo(&self, n: usize) -> Item {
        let data = format!("{n:064}");
        self.item(&format!("B20040{data}"), format!("B300{data}"))
    }

    // No command makes a block under DUKPT of a PIN that the unit holds. But one random block in about 650 holds
    // a PIN block of ISO format 1, whatever the key, and the unit says which: those are kept.
    async fn dukpt(&self) -> Result<Vec<Item>, Trouble> {
        let (bdk, zpk) = (self.key(&BDK).await?, self.key(&ZPK).await?);
        let mut items = Vec::new();
        for first in (1..TRIES_MAX).step_by(usize::try_from(TRIES_AT_ONCE).unwrap_or(1)) {
            let mut tries = JoinSet::new();
            for counter in first..first + TRIES_AT_ONCE {
                let block = scattered(counter);
                // KSN of 20 digits: key set, device, and the counter in the last 21 bits.
                let request = format!(
                    "G0{bdk}{zpk}A05FFFF9876543210{:06X}{block:016X}0501{}",
                    0xE0_0000 + counter,
                    account(7)
                );
                let (client, whole) = (self.client.clone(), format!("{request}{}", self.selector));
                tries.spawn(async move { (request, client.exchange(whole).await) });
            }
            while let Some(tried) = tries.join_next().await {
                let Ok((request, reply)) = tried else { continue };
                let reply = String::from_utf8_lossy(&reply.map_err(Trouble::Wire)?).into_owned();
                match reply.get(2..4) {
                    Some("00") => items.push(self.item(&request, reply)),
                    Some("20" | "24") => {}
                    // None of the first counters has more than ten ones: none is refused for its own sake.
                    code if first == 1 => {
                        let code = code.unwrap_or("none");
                        return Err(Trouble::Refused(format!(
                            "G0 answered {code} to a block of ISO format 1"
                        )));
                    }
                    _ => {}
                }
            }
            if items.len() >= ROUND_DUKPT {
                items.truncate(ROUND_DUKPT);
                return Ok(items);
            }
        }
        Err(Trouble::Refused("no block of ISO format 1 was found for G0".into()))
    }
}

fn without_check_value(mut text: String) -> String {
    text.truncate(text.len().saturating_sub(6));
    text
}

// Twelve digits; the factor spreads them.
fn account(n: usize) -> String {
    format!("{:012}", (n + 1) * 104_729)
}

fn pan_end(n: usize) -> String {
    format!("{:015}", (n + 1) * 7_368_787)
}

// The same blocks in every run (SplitMix64): they stand for nothing, they only have to differ.
const fn scattered(n: u64) -> u64 {
    let z = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
