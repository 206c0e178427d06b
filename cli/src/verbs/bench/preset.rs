//! What can be measured, and in which shares.

use clap::ValueEnum;

/// A command that can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PIN block, ZPK to ZPK.
    Cc,
    /// PIN block, TPK to ZPK.
    Ca,
    /// Verify a PIN under a TPK by PVV.
    Dc,
    /// Verify a PIN under a ZPK by PVV.
    Ec,
    /// Make a card value.
    Cw,
    /// Verify a card value.
    Cy,
    /// Make a MAC.
    M6,
    /// Verify a MAC.
    M8,
    /// PIN block, DUKPT to ZPK.
    G0,
    /// Generate a key, and export it in TR-31.
    A0,
    /// Import a key in TR-31.
    A6,
    /// Export a key in TR-31.
    A8,
    /// Diagnostics.
    Nc,
    /// Echo.
    B2,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Cc,
        Self::Ca,
        Self::Dc,
        Self::Ec,
        Self::Cw,
        Self::Cy,
        Self::M6,
        Self::M8,
        Self::G0,
        Self::A0,
        Self::A6,
        Self::A8,
        Self::Nc,
        Self::B2,
    ];

    /// Command code.
    pub const fn code(self) -> &'static str {
        self.codes().0
    }

    /// Reply code.
    pub const fn reply(self) -> &'static str {
        self.codes().1
    }

    const fn codes(self) -> (&'static str, &'static str) {
        match self {
            Self::Cc => ("CC", "CD"),
            Self::Ca => ("CA", "CB"),
            Self::Dc => ("DC", "DD"),
            Self::Ec => ("EC", "ED"),
            Self::Cw => ("CW", "CX"),
            Self::Cy => ("CY", "CZ"),
            Self::M6 => ("M6", "M7"),
            Self::M8 => ("M8", "M9"),
            Self::G0 => ("G0", "G1"),
            Self::A0 => ("A0", "A1"),
            Self::A6 => ("A6", "A7"),
            Self::A8 => ("A8", "A9"),
            Self::Nc => ("NC", "ND"),
            Self::B2 => ("B2", "B3"),
        }
    }

    /// Runs on a unit without any key.
    pub const fn needs_no_key(self) -> bool {
        matches!(self, Self::Nc | Self::B2)
    }
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// CC: a PIN block from one ZPK to another, ISO format 0.
    PinTranslate,
    /// DC: a PIN by PVV.
    PinVerify,
    /// CY: a card verification value.
    Cvv,
    /// M8: a retail MAC over 64 bytes.
    Mac,
    /// A6 and A8 in turn: a ZPK in a TR-31 block under a ZMK, in and out.
    Tr31,
    /// G0: a PIN block from TDES DUKPT to a ZPK.
    Dukpt,
    /// B2: 64 bytes back.
    Echo,
    /// Several of them, by the weights of --mix; as an acquirer sends them when none are given.
    Mix,
}

impl Preset {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Commands and their weights.
    pub fn weights(self, mix: &[Weight]) -> Vec<Weight> {
        let one = |kind| Weight { kind, weight: 1 };
        let kind = match self {
            Self::PinTranslate => Kind::Cc,
            Self::PinVerify => Kind::Dc,
            Self::Cvv => Kind::Cy,
            Self::Mac => Kind::M8,
            Self::Dukpt => Kind::G0,
            Self::Echo => Kind::B2,
            Self::Tr31 => return vec![one(Kind::A6), one(Kind::A8)],
            Self::Mix if mix.is_empty() => return MIX.map(|(kind, weight)| Weight { kind, weight }).to_vec(),
            Self::Mix => return mix.to_vec(),
        };
        vec![one(kind)]
    }
}

/// The mix of who gives none: a day of an acquirer and an issuer on one unit.
const MIX: [(Kind, u32); 6] =
    [(Kind::Cc, 50), (Kind::Ca, 10), (Kind::Dc, 10), (Kind::Cy, 15), (Kind::M6, 10), (Kind::G0, 5)];

/// A command of a mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// The command.
    pub kind: Kind,
    /// Its share of the sum.
    pub weight: u32,
}

impl core::str::FromStr for Weight {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, weight) = text.split_once('=').ok_or("expected COMMAND=WEIGHT, such as cc=70")?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.code().eq_ignore_ascii_case(name.trim()));
        let kind = kind.ok_or_else(|| {
            let known = Kind::ALL.map(|kind| kind.code().to_ascii_lowercase()).join(", ");
            format!("`{name}` is none of {known}")
        })?;
        match weight.trim().parse() {
            Ok(weight @ 1..=1000) => Ok(Self { kind, weight }),
            _ => Err(format!("`{weight}` is no weight of 1 to 1000")),
        }
    }
}

/// The order in which commands take turns: evenly mixed, each as often as its weight says. Every turn goes to
/// the command that is furthest behind its share.
pub fn turns(weights: &[Weight]) -> Vec<usize> {
    let total: i64 = weights.iter().map(|weight| i64::from(weight.weight)).sum();
    let mut credit = vec![0i64; weights.len()];
    let mut turns = Vec::new();
    for _ in 0..total {
        for (credit, weight) in credit.iter_mut().zip(weights) {
            *credit += i64::from(weight.weight);
        }
        let Some((next, _)) = credit.iter().enumerate().max_by_key(|(_, credit)| **credit) else { break };
        credit[next] -= total;
        turns.push(next);
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(text: &str) -> Result<Vec<Weight>, String> {
        text.split(',').map(str::parse).collect()
    }

    #[test]
    fn turns_follow_the_weights_and_mix_evenly() {
        let turns = turns(&weights("cc=7,CY=2,m6=1").unwrap());
        let count = |n| turns.iter().filter(|turn| **turn == n).count();
        assert_eq!((count(0), count(1), count(2)), (7, 2, 1));
        assert!(turns.windows(2).any(|pair| pair == [0, 1]) && turns[..5].contains(&1), "{turns:?}");
    }

    #[test]
    fn what_is_no_mix_is_refused() {
        assert!(weights("cc").unwrap_err().contains("COMMAND=WEIGHT"));
        assert!(weights("zz=1").unwrap_err().contains("cc, "));
        assert!(weights("cc=0").unwrap_err().contains("1 to 1000"));
        assert!(weights("cc=70,cy=x").is_err());
    }
}
