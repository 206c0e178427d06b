//! What a card value is made of: account number, expiry date and service code.

use crate::wire::{Show, Step, Text, Wire};
use crate::{Code, Cx};
use paytypes::{Expiry, Pan, ServiceCode};

/// The fields of CW and CY.
#[derive(Clone, Debug, Default)]
pub struct CardData {
    /// Account number, ended by `;`.
    pub pan: Text,
    /// Expiry date in the order of the issuer.
    pub expiry: [u8; 4],
    /// Service code.
    pub service: [u8; 3],
}

/// The same, judged.
#[derive(Clone, Copy, Debug)]
pub struct Card {
    /// Account number.
    pub pan: Pan,
    /// Expiry date.
    pub expiry: Expiry,
    /// Service code.
    pub service: ServiceCode,
}

impl CardData {
    /// Walks all fields.
    pub fn walk<W: Wire>(&mut self, wire: &mut W) -> Step {
        wire.until("PAN", b';', Show::Pan, &mut self.pan)?;
        wire.digits("expiry date", &mut self.expiry)?;
        wire.digits("service code", &mut self.service)
    }

    /// Judges them; what is not a number of 1 to 19 digits is no PAN (15).
    pub fn card(&self) -> Result<Card, Code> {
        let pan = Pan::new(self.pan.as_bytes()).map_err(|_| Code::INPUT)?;
        let expiry = Expiry::new(&self.expiry).map_err(|_| Code::INPUT)?;
        let service = ServiceCode::new(&self.service).map_err(|_| Code::INPUT)?;
        Ok(Card { pan, expiry, service })
    }
}

/// The card verification value.
pub async fn cvv(cx: &Cx, key: &hsm::Key, card: Card) -> Result<[u8; 3], Code> {
    Ok(cardcrypto::cvv::cvv(&cx.hsm, key, &card.pan, card.expiry, card.service).await?)
}

/// Compares with the value that the host sent, in constant time.
pub async fn cvv_matches(cx: &Cx, key: &hsm::Key, card: Card, sent: &[u8; 3]) -> Result<bool, Code> {
    let Card { pan, expiry, service } = card;
    Ok(cardcrypto::cvv::verify(&cx.hsm, key, &pan, expiry, service, sent).await?)
}
