//! What can be measured, and in which shares.

use super::material::Kind;
use clap::ValueEnum;

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
    /// G0: a PIN block from TDES DUKPT to a ZPK.
    Dukpt,
    /// B2: 64 bytes back.
    Echo,
    /// Several of them, by the weights of --mix.
    Mix,
}

impl Preset {
    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Commands and their weights.
    pub fn weights(self, mix: &[Weight]) -> Vec<Weight> {
        let kind = match self {
            Self::PinTranslate => Kind::Cc,
            Self::PinVerify => Kind::Dc,
            Self::Cvv => Kind::Cy,
            Self::Mac => Kind::M8,
            Self::Dukpt => Kind::G0,
            Self::Echo => Kind::B2,
            Self::Mix => return mix.to_vec(),
        };
        vec![Weight { kind, weight: 1 }]
    }
}

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
