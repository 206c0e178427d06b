//! Card and PIN verification values.

use super::report::{Case, Report};
use super::secrets::Secrets;
use crate::exit::Failure;
use crate::verbs::vectors::ready;
use cardcrypto::csc::{CscVersion, csc as card_codes};
use clap::{Args, ValueEnum};
use paytypes::soft::Soft;

#[derive(Args, Debug)]
pub struct PvvArgs {
    /// Account number with its check digit.
    #[arg(long)]
    pan: String,
    /// PVV key index.
    #[arg(long, default_value = "1")]
    pvki: String,
    /// PVV to compare with.
    #[arg(long)]
    verify: Option<String>,
}

// Shows a made value, or whether the given one is the same.
fn compared(name: &str, made: &str, given: Option<&str>) -> Report {
    let mut report = Report::default();
    match given {
        None => report.row(name, made),
        Some(given) if given == made => report.row(name, "matches"),
        Some(_) => {
            report.row(name, "does not match");
            report.fails(format!("{name} does not match"));
        }
    }
    report
}

pub fn pvv(args: &PvvArgs, secrets: &mut Secrets) -> Result<Report, Failure> {
    let (pvk, pin) = (secrets.next("PVK")?, secrets.next("PIN")?);
    let case = Case::default()
        .with("pvk", pvk.as_str())
        .with("pin", pin.as_str())
        .with("pan", args.pan.as_str())
        .with("pvki", args.pvki.as_str());
    Ok(compared("pvv", &case.text("pin.visa_pvv", "pvv")?, args.verify.as_deref()))
}

#[derive(Args, Debug)]
pub struct IbmArgs {
    /// Account number.
    #[arg(long)]
    pan: String,
    /// Decimalisation table, sixteen digits.
    #[arg(long, default_value = "0123456789012345")]
    table: String,
    /// First PAN digit of the validation data, counted from 0.
    #[arg(long, default_value_t = 0)]
    start: u16,
    /// Number of PAN digits in the validation data.
    #[arg(long, default_value_t = 16)]
    length: u16,
    /// Pad digit, hexadecimal.
    #[arg(long, default_value = "F")]
    pad: String,
    /// Offset: shows the PIN. Without it the offset of a PIN is shown.
    #[arg(long)]
    offset: Option<String>,
    /// Shows the natural PIN.
    #[arg(long)]
    natural: bool,
}

pub fn ibm(args: &IbmArgs, secrets: &mut Secrets) -> Result<Report, Failure> {
    let pvk = secrets.next("PVK")?;
    let case = || {
        Case::default()
            .with("pvk", pvk.as_str())
            .with("table", args.table.as_str())
            .with("pan", args.pan.as_str())
            .with("off", args.start)
            .with("len", args.length)
            .with("padc", args.pad.as_str())
    };
    let mut report = Report::default();
    if args.natural {
        report.row("natural", case().text("pin.ibm3624.natural", "natural")?);
        return Ok(report);
    }
    match &args.offset {
        Some(offset) => {
            report.row("pin", case().with("offset", offset.as_str()).text("pin.ibm3624.pin", "pin")?);
        }
        None => {
            let pin = secrets.next("PIN")?;
            report.row("offset", case().with("pin", pin.as_str()).text("pin.ibm3624.offset", "offset")?);
        }
    }
    Ok(report)
}

#[derive(Args, Debug)]
pub struct CvvArgs {
    /// Account number.
    #[arg(long)]
    pan: String,
    /// Expiry, four digits in the order that the issuer uses (YYMM on the stripe).
    #[arg(long)]
    expiry: String,
    /// Service code: 000 for CVV2, 999 for iCVV.
    #[arg(long, default_value = "000")]
    service: String,
    /// Value to compare with.
    #[arg(long)]
    verify: Option<String>,
}

pub fn cvv(args: &CvvArgs, secrets: &mut Secrets) -> Result<Report, Failure> {
    let cvk = secrets.next("CVK")?;
    let case = Case::default()
        .with("cvk", cvk.as_str())
        .with("pan", args.pan.as_str())
        .with("expiry", args.expiry.as_str())
        .with("service_code", args.service.as_str());
    Ok(compared("cvv", &case.text("cvv", "cvv")?, args.verify.as_deref()))
}

/// Formula of a CSC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CscFormula {
    /// Version 1.
    V1,
    /// Version 2: not confirmed by a public example.
    V2,
}

#[derive(Args, Debug)]
pub struct CscArgs {
    /// Account number, fifteen digits.
    #[arg(long)]
    pan: String,
    /// Expiry, YYMM.
    #[arg(long)]
    expiry: String,
    /// Formula.
    #[arg(long, value_enum, default_value = "v1")]
    formula: CscFormula,
    /// Service code of version 2.
    #[arg(long, default_value = "000")]
    service: String,
}

pub fn csc(args: &CscArgs, secrets: &mut Secrets) -> Result<Report, Failure> {
    let key = secrets.next("CSCK")?;
    let case = Case::default()
        .with("key", key.as_str())
        .with("pan", args.pan.as_str())
        .with("expiry", args.expiry.as_str())
        .with("service_code", args.service.as_str());
    let made = case.apply(|given| {
        let version = match args.formula {
            CscFormula::V1 => CscVersion::V1,
            CscFormula::V2 => CscVersion::V2(given.service_code()?),
        };
        ready(card_codes(&Soft, &given.key("key", "T")?, version, &given.pan()?, given.expiry()?))
    })?;
    let mut report = Report::default();
    for (name, code) in [("csc-5", made.five()), ("csc-4", made.four()), ("csc-3", made.three())] {
        report.row(name, String::from_utf8_lossy(code));
    }
    Ok(report)
}
