//! Keys: check values, components, parity, DUKPT, MACs.

use super::report::{Case, Report, failure};
use super::secrets::Secrets;
use crate::exit::Failure;
use crate::verbs::vectors::Input;
use clap::{Args, ValueEnum};
use paytypes::parity::{Weakness, is_odd, make_odd, weakness};
use paytypes::{hex, secret::KEY_LENGTH_MAX};
use serde_json::json;
use zeroize::Zeroizing;

/// Cipher of a key.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Cipher {
    /// DES and TDES, by its length.
    Tdes,
    /// AES.
    Aes,
}

impl Cipher {
    const fn letter(self) -> &'static str {
        match self {
            Self::Tdes => "T",
            Self::Aes => "A",
        }
    }
}

#[derive(Args, Debug)]
pub struct KcvArgs {
    /// Cipher of the key.
    #[arg(long, value_enum, default_value = "tdes")]
    cipher: Cipher,
}

/// The two check values that people compare: a zero block encrypted, and CMAC. The first six digits are the
/// usual TDES value, ten digits of CMAC the usual AES one.
pub fn kcv(args: &KcvArgs, secrets: &mut Secrets) -> Result<Report, Failure> {
    let key = secrets.next("Key")?;
    let mut report = Report::default();
    let case =
        |n: u8| Case::default().with("alg", args.cipher.letter()).with("key", key.as_str()).with("n", n);
    report.row("kcv", usual(args.cipher, &key)?);
    report.row("zero block", case(8).text("kcv.legacy", "kcv")?);
    report.row("cmac", case(5).text("kcv.cmac", "kcv")?);
    if matches!(args.cipher, Cipher::Tdes) {
        hygiene(&bytes(&key)?, &mut report);
    }
    Ok(report)
}

// The check value that goes with the key in a letter to a custodian.
fn usual(cipher: Cipher, key: &str) -> Result<String, Failure> {
    let (function, n) = match cipher {
        Cipher::Tdes => ("kcv.legacy", 3),
        Cipher::Aes => ("kcv.cmac", 5),
    };
    Case::default().with("alg", cipher.letter()).with("key", key).with("n", n).text(function, "kcv")
}

fn hygiene(key: &[u8], report: &mut Report) {
    report.row("parity", if is_odd(key) { "odd" } else { "not odd" });
    report.row(
        "weakness",
        match weakness(key) {
            Weakness::None => "none found",
            Weakness::Weak => "weak or semi-weak part",
            Weakness::EqualParts => "equal parts",
        },
    );
}

fn bytes(text: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let bytes = hex::decode_vec(text.as_bytes())
        .map(Zeroizing::new)
        .map_err(|e| Failure::check(format!("key_size: hexadecimal key: {e}")))?;
    if bytes.is_empty() || bytes.len() > KEY_LENGTH_MAX {
        return Err(Failure::check("key_size: 1 to 32 bytes"));
    }
    Ok(bytes)
}

fn shown(key: &[u8], show: bool) -> String {
    if show { hex::encode(key) } else { format!("{} bytes, not shown (--show)", key.len()) }
}

#[derive(Args, Debug)]
pub struct ComponentArgs {
    /// Cipher of the key.
    #[arg(long, value_enum, default_value = "tdes")]
    cipher: Cipher,
    /// Forces odd parity of the key.
    #[arg(long)]
    odd_parity: bool,
    /// Shows the key.
    #[arg(long)]
    show: bool,
}

/// Joins components; shows the check value of each and of the key.
pub fn components(args: &ComponentArgs, secrets: &mut Secrets) -> Result<Report, Failure> {
    let mut report = Report::default();
    let mut key: Option<Zeroizing<Vec<u8>>> = None;
    let mut number = 0;
    while let Some(text) = secrets.optional(&format!("Component {} (empty: no more)", number + 1))? {
        number += 1;
        report.row(&format!("component {number}"), usual(args.cipher, &text)?);
        let part = bytes(&text)?;
        match &mut key {
            None => key = Some(part),
            Some(key) if key.len() == part.len() => paytypes::bytes::xor_into(key, &part),
            Some(_) => return Err(Failure::check("key_size: components of different lengths")),
        }
    }
    let mut key = key.filter(|_| number > 1).ok_or_else(|| Failure::usage("two components or more"))?;
    if args.odd_parity {
        make_odd(&mut key);
    }
    let text = Zeroizing::new(hex::encode(&key));
    report.row("kcv", usual(args.cipher, &text)?);
    report.row("key", shown(&key, args.show));
    if matches!(args.cipher, Cipher::Tdes) {
        hygiene(&key, &mut report);
    }
    if key.iter().all(|b| *b == 0) {
        report.fails("the components cancel each other: the key is zero");
    }
    Ok(report)
}

#[derive(Args, Debug)]
pub struct SplitArgs {
    /// Cipher of the key.
    #[arg(long, value_enum, default_value = "tdes")]
    cipher: Cipher,
    /// Number of components.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..10))]
    parts: u8,
}

/// Random components that join to the key; TDES ones have odd parity where the sum permits it.
pub fn split(args: &SplitArgs, secrets: &mut Secrets) -> Result<Report, Failure> {
    let text = secrets.next("Key")?;
    let mut rest = bytes(&text)?;
    let mut report = Report::default();
    report.row("kcv", usual(args.cipher, &text)?);
    for number in 1..=args.parts {
        let mut part = Zeroizing::new(vec![0; rest.len()]);
        if number < args.parts {
            getrandom::fill(&mut part).map_err(Failure::environment)?;
            if matches!(args.cipher, Cipher::Tdes) {
                make_odd(&mut part);
            }
            paytypes::bytes::xor_into(&mut rest, &part);
        } else {
            part.copy_from_slice(&rest);
        }
        let text = Zeroizing::new(hex::encode(&part));
        let check = usual(args.cipher, &text)?;
        report.row(&format!("component {number}"), format!("{} (kcv {check})", text.as_str()));
    }
    Ok(report)
}

#[derive(Args, Debug)]
pub struct ParityArgs {
    /// Shows the key with odd parity.
    #[arg(long)]
    show: bool,
}

/// Judges the parity; with --show, forces it.
pub fn parity(args: &ParityArgs, secrets: &mut Secrets) -> Result<Report, Failure> {
    let mut key = bytes(&secrets.next("Key")?)?;
    let mut report = Report::default();
    let odd = is_odd(&key);
    hygiene(&key, &mut report);
    if args.show {
        make_odd(&mut key);
        report.row("key", hex::encode(&key));
    } else if !odd {
        report.fails("parity is not odd");
    }
    Ok(report)
}

#[derive(Args, Debug)]
pub struct DukptArgs {
    /// Key serial number, hexadecimal: 8 to 10 bytes for TDES, 12 for AES.
    #[arg(long)]
    ksn: String,
    /// AES: type of the working keys.
    #[arg(long = "type", default_value = "AES128", value_name = "TDES2|TDES3|AES128|…|HMAC256")]
    kind: String,
    /// Shows the keys.
    #[arg(long)]
    show: bool,
}

/// Initial key, transaction key and working keys, by their check values.
pub fn dukpt(args: &DukptArgs, secrets: &mut Secrets) -> Result<Report, Failure> {
    let ksn = args.ksn.replace(' ', "");
    let given = json!({ "ksn": ksn });
    let parsed = Input::new(&given).ksn().map_err(failure)?;
    let bdk = secrets.next("BDK")?;
    let case = || Case::default().with("bdk", bdk.as_str()).with("ksn", ksn.as_str());
    let mut report = Report::default();
    report.row("counter", parsed.counter());
    let mut key = |name: &str, cipher, text: String| -> Result<(), Failure> {
        let text = Zeroizing::new(text);
        let check = match cipher {
            Some(cipher) => usual(cipher, &text)?,
            None => "HMAC key".to_owned(),
        };
        report.row(name, if args.show { format!("{} (kcv {check})", text.as_str()) } else { check });
        Ok(())
    };
    match parsed {
        paytypes::Ksn::Tdes(_) => {
            for (name, value) in case().compute("dukpt.tdes.key")? {
                let text = value.as_str().unwrap_or_default().to_owned();
                key(&name, Some(Cipher::Tdes), text)?;
            }
        }
        paytypes::Ksn::Aes(_) => {
            let initial = Case::default()
                .with("bdk", bdk.as_str())
                .with("ikid", ksn.get(..16).unwrap_or_default())
                .text("dukpt.aes.ik", "ik")?;
            key("ik", Some(Cipher::Aes), initial)?;
            key("txn", Some(Cipher::Aes), case().text("dukpt.aes.txn", "txn")?)?;
            let cipher = match args.kind.get(..3) {
                Some("AES") => Some(Cipher::Aes),
                Some("TDE") => Some(Cipher::Tdes),
                _ => None,
            };
            let uses: &[&str] = match cipher {
                Some(_) => {
                    &["pin", "mac_gen", "mac_ver", "mac_both", "data_enc", "data_dec", "data_both", "kek"]
                }
                None => &["mac_gen", "mac_ver", "mac_both"],
            };
            for name in uses {
                let made = case().with("use", *name).with("type", args.kind.as_str());
                key(name, cipher, made.text("dukpt.aes.working", "key")?)?;
            }
        }
    }
    Ok(report)
}

/// A MAC algorithm.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum MacKind {
    /// ISO 9797-1 algorithm 1, CBC-MAC.
    Alg1,
    /// ISO 9797-1 algorithm 3, retail MAC (X9.19).
    Alg3,
    /// CMAC.
    Cmac,
    /// HMAC.
    Hmac,
}

#[derive(Args, Debug)]
pub struct MacArgs {
    /// Algorithm.
    #[arg(long, value_enum, default_value = "alg3")]
    algorithm: MacKind,
    /// Cipher of the key.
    #[arg(long, value_enum, default_value = "tdes")]
    cipher: Cipher,
    /// Padding method of ISO 9797-1: 1 zeros, 2 a one bit, 3 length; 0 none.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..4))]
    padding: u8,
    /// Hash of an HMAC.
    #[arg(long, default_value = "sha256")]
    hash: String,
    /// Message, hexadecimal.
    #[arg(long, conflicts_with = "text")]
    data: Option<String>,
    /// Message, text.
    #[arg(long)]
    text: Option<String>,
}

/// The whole MAC, and its left eight and four bytes.
pub fn mac(args: &MacArgs, secrets: &mut Secrets) -> Result<Report, Failure> {
    let data = match (&args.data, &args.text) {
        (Some(data), _) => data.replace(' ', ""),
        (None, Some(text)) => hex::encode(text.as_bytes()),
        (None, None) => return Err(Failure::usage("--data or --text")),
    };
    let key = secrets.next("Key")?;
    let case = Case::default()
        .with("alg", args.cipher.letter())
        .with("key", key.as_str())
        .with("data", data)
        .with("pad", args.padding)
        .with("hash", args.hash.as_str());
    let function = match args.algorithm {
        MacKind::Alg1 => "mac.iso9797.alg1",
        MacKind::Alg3 => "mac.iso9797.alg3",
        MacKind::Cmac => "mac.cmac",
        MacKind::Hmac => "mac.hmac",
    };
    let made = case.text(function, "mac")?;
    let mut report = Report::default();
    report.row("left 4", made.get(..8).unwrap_or_default());
    report.row("left 8", made.get(..16).unwrap_or_default());
    report.row("mac", made);
    Ok(report)
}
