//! JA: a random PIN, stored under the LMK. Every PIN is equally likely: a PIN that looks weak is excluded
//! only when the host sends it in the table of excluded ones.

use crate::command::{About, Answer, Audience, Class, Command, Example, Expect};
use crate::service::excluded::ExcludedPins;
use crate::service::storing::StoredReply;
use crate::service::{pins, stored_pin};
use crate::wire::{Account, Message, Number, Step, Wire};
use crate::{Code, Cx};
use paytypes::Pin;
use paytypes::pin::{PIN_LENGTH_MAX, PIN_LENGTH_MIN};
use zeroize::Zeroizing;

/// Digits when the host asks for no other number.
const LENGTH_DEFAULT: usize = 4;
/// Draws before a table of excluded PINs is taken to leave none. A table holds 99 at most, so that a draw
/// hits one of them once in a hundred times.
const DRAWS: usize = 16;

/// Random PIN.
#[derive(Debug)]
pub struct RandomPin;

/// Account, length, excluded PINs.
#[derive(Debug, Default)]
pub struct Request {
    /// Account of the PIN.
    pub account: Account,
    /// The host asks for a length.
    pub has_length: bool,
    /// Digits.
    pub length: Number<2>,
    /// PINs not to give out.
    pub excluded: ExcludedPins,
}

impl Message for Request {
    fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        // Under an AES LMK hosts may send a whole PAN, as for a block of ISO format 4.
        wire.account("account", &[*b"48"], &mut self.account)?;
        wire.more(&mut self.has_length)?;
        if self.has_length {
            wire.number("PIN length", &mut self.length)?;
        }
        self.excluded.walk(wire)
    }
}

impl Command for RandomPin {
    const ABOUT: About = About {
        code: *b"JA",
        title: "Generate a random PIN",
        audience: Audience::Issuer,
        class: Class::Pins,
    };
    const EXAMPLES: &'static [Example] = &[
        Example {
            lmk: 0,
            request: b"JA401234567890",
            expect: Expect::Like(b"JB000...."),
            source: "own vector",
        },
        Example {
            lmk: 1,
            request: b"JA40123456789004*0304123433339877",
            expect: Expect::Like(b"JB000...."),
            source: "own vector: three PINs excluded",
        },
        Example {
            lmk: 2,
            request: b"JA4111111111111111;05",
            expect: Expect::Like(b"JB00J................................"),
            source: "host-commands.md 6, request with a whole PAN",
        },
        Example { lmk: 0, request: b"JA40123456789003", expect: Expect::Code(b"24"), source: "own vector" },
        Example {
            lmk: 0,
            request: b"JA40123456789004*010512345",
            expect: Expect::Code(b"81"),
            source: "own vector: excluded PINs of another length",
        },
    ];
    type Request = Request;
    type Reply = StoredReply;

    async fn run(cx: Cx, r: Request) -> Answer<StoredReply> {
        let owner = pins::owner(&pins::account(&r.account)?)?;
        let length = if r.has_length { r.length.size() } else { LENGTH_DEFAULT };
        if !(PIN_LENGTH_MIN..=PIN_LENGTH_MAX).contains(&length) {
            return Err(Code::PIN_LENGTH);
        }
        r.excluded.judge_length(length)?;
        for _ in 0..DRAWS {
            let pin = draw(&cx, length).await?;
            if r.excluded.judge(&pin).is_ok() {
                return Ok(StoredReply { stored: stored_pin::store(&cx, &pin, &owner).await? }.into());
            }
        }
        Err(Code::EXCLUDED_PIN)
    }
}

// Bytes below 250 make digits, so that all ten are equally likely. 32 bytes are short of twelve such bytes
// once in 10^30 draws.
async fn draw(cx: &Cx, length: usize) -> Result<Pin, Code> {
    let mut bytes = Zeroizing::new([0u8; 32]);
    cx.hsm.random(bytes.as_mut_slice()).await?;
    let mut digits = Zeroizing::new([0xFFu8; PIN_LENGTH_MAX]);
    for (digit, byte) in digits.iter_mut().zip(bytes.iter().filter(|byte| **byte < 250)) {
        *digit = byte % 10;
    }
    Pin::from_values(digits.get(..length).unwrap_or_default()).map_err(|_| Code::DEVICE)
}
