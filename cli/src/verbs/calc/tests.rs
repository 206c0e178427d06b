use super::*;
use clap::Parser;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: Args,
}

fn calc(line: &str, secrets: &[&str]) -> Result<Report, crate::exit::Failure> {
    let line = Line::try_parse_from(["calc"].into_iter().chain(line.split_whitespace())).unwrap();
    calculate(&line.args.verb, &mut Secrets::of(secrets))
}

fn value(line: &str, secrets: &[&str], name: &str) -> String {
    let report = calc(line, secrets).unwrap();
    report.get(name).unwrap_or_else(|| panic!("{name}")).as_str().unwrap().to_owned()
}

fn exit_of(line: &str, secrets: &[&str]) -> u8 {
    match calc(line, secrets).and_then(|report| report.verdict()) {
        Ok(()) => 0,
        Err(failure) => failure.code,
    }
}

const KEY: &str = "0123456789ABCDEF FEDCBA9876543210";

#[test]
fn check_values_as_people_compare_them() {
    assert_eq!(value("kcv", &[KEY], "kcv"), "08D7B4");
    assert_eq!(value("kcv", &[KEY], "weakness"), "none found");
    let aes = value("kcv --cipher aes", &["3F419E1CB7079442AA37474C2EFBF8B8"], "kcv");
    assert_eq!(aes, "08793E25AB");
    assert_eq!(exit_of("kcv", &["0123"]), 1);
    assert_eq!(exit_of("kcv", &[]), 2);
}

#[test]
fn components_join_and_split() {
    let parts = ["10101010101010101111111111111111", "11335577 99BBDDFF EFCDAB8967452301"];
    let report = calc("components --show", &parts).unwrap();
    assert_eq!(report.get("key").unwrap(), "0123456789ABCDEFFEDCBA9876543210");
    assert_eq!(report.get("kcv").unwrap(), "08D7B4");
    assert!(value("components", &parts, "key").contains("not shown"));
    assert_eq!(exit_of("components", &["11335577 99BBDDFF", KEY]), 1);
    assert_eq!(exit_of("components", &[KEY]), 2);
    assert_eq!(exit_of("components", &[KEY, KEY]), 1);
    let split = calc("split --parts 3", &[KEY]).unwrap();
    let made: Vec<_> = (1..=3)
        .map(|n| split.get(&format!("component {n}")).unwrap().as_str().unwrap()[..32].to_owned())
        .collect();
    let made: Vec<_> = made.iter().map(String::as_str).collect();
    assert_eq!(value("components --show", &made, "key"), "0123456789ABCDEFFEDCBA9876543210");
}

#[test]
fn parity_is_judged_and_forced() {
    assert_eq!(exit_of("parity", &[KEY]), 0);
    assert_eq!(exit_of("parity", &["00"]), 1);
    assert_eq!(
        value("parity --show", &["4F49EDA1FF0093DF0A361D05C40115B6"], "key"),
        "4F49ECA1FE0192DF0B371C04C40115B6"
    );
}

#[test]
fn pin_blocks_both_ways() {
    let made = value("pinblock encode --format iso0 --pan 4000001234562", &["92389"], "block");
    assert_eq!(made, "0592789FFFEDCBA9");
    assert_eq!(value("pinblock decode --pan 4000001234562", &[&made], "pin"), "92389");
    for (format, key) in
        [("iso0", KEY), ("iso3", KEY), ("01", KEY), ("iso4", "00112233445566778899AABBCCDDEEFF")]
    {
        let pan = "--pan 4111111111111111";
        let block = value(&format!("pinblock encipher --format {format} {pan}"), &["1234", key], "block");
        let line = format!("pinblock decipher --format {format} {pan} --block {block}");
        assert_eq!(value(&line, &[key], "pin"), "1234");
    }
    assert_eq!(exit_of("pinblock decode --pan 4000001234562", &["0592789FFFEDCBA8"]), 1);
    assert_eq!(exit_of("pinblock encode --format iso9", &["1234"]), 2);
}

#[test]
fn values_of_cards_and_pins() {
    let cvv = "cvv --pan 4123456789012345 --expiry 8701 --service 101";
    assert_eq!(value(cvv, &[KEY], "cvv"), "561");
    assert_eq!(exit_of(&format!("{cvv} --verify 561"), &[KEY]), 0);
    assert_eq!(exit_of(&format!("{cvv} --verify 562"), &[KEY]), 1);
    assert_eq!(value("pvv --pan 1122334455667788", &[KEY, "4524"], "pvv"), "8523");
    let ibm = "ibm --pan 4160372076313752371 --start 1 --length 13 --pad 5";
    let pvk = "6BAB43155780610B6DA82A97D537F798B58598DFF197837C";
    assert_eq!(value(ibm, &[pvk, "0907"], "offset"), "3367");
    assert_eq!(value(&format!("{ibm} --offset 3367"), &[pvk], "pin"), "0907");
    let csc = "csc --pan 371234567890123 --expiry 9912";
    assert_eq!((value(csc, &[KEY], "csc-5"), value(csc, &[KEY], "csc-3")), ("61247".into(), "552".into()));
    assert_eq!(exit_of("csc --pan 37123456789012 --expiry 9912", &[KEY]), 1);
}

#[test]
fn dukpt_keys_by_check_value_or_shown() {
    let line = "dukpt --ksn FFFF9876543210E00001";
    let hidden = value(line, &[KEY], "pin");
    assert_eq!(hidden.len(), 6);
    let shown = value(&format!("{line} --show"), &[KEY], "ik");
    assert!(shown.starts_with("6AC292FAA1315B4D858AB3A3D7D5933A"), "{shown}");
    let aes = "dukpt --ksn 123456789012345600000001 --type AES128";
    let bdk = "FEDCBA9876543210F1F1F1F1F1F1F1F1";
    assert!(value(&format!("{aes} --show"), &[bdk], "ik").starts_with("1273671EA26AC29AFA4D1084127652A1"));
    assert_eq!(exit_of("dukpt --ksn FFFF9876543210E00000", &[KEY]), 1);
    assert_eq!(exit_of("dukpt --ksn FFFF", &[KEY]), 1);
    let hmac = "dukpt --ksn 123456789012345600000001 --type HMAC128";
    assert_eq!(value(hmac, &[bdk], "mac_gen"), "HMAC key");
}

#[test]
fn macs() {
    let rfc = value("mac --algorithm hmac --text Hi", &["4A656665"], "mac");
    assert_eq!(rfc.len(), 64);
    let cmac = "mac --algorithm cmac --cipher aes --data 6BC1BEE22E409F96E93D7E117393172A";
    assert_eq!(value(cmac, &["2B7E151628AED2A6ABF7158809CF4F3C"], "mac"), "070A16B46B4D4144F79BDD9DD04A287C");
    assert_eq!(exit_of("mac", &[KEY]), 2);
}

#[test]
fn key_blocks() {
    let block = "B0080P0TE00E000094B420079CC80BA3461F86FE26EFC4A3B8E4FA4C5F5341176EED7B727B8A248E";
    let kbpk = "DD7515F2BFC17F85CE48F3CA25CB21F6";
    assert!(value(&format!("tr31 inspect {block}"), &[], "usage").contains("PIN encryption key"));
    let report = calc(&format!("tr31 unwrap {block}"), &[kbpk]).unwrap();
    assert!(report.get("key").is_none() && report.get("kcv").is_some());
    let shown = value(&format!("tr31 unwrap --show {block}"), &[kbpk], "key");
    assert_eq!(shown, "3F419E1CB7079442AA37474C2EFBF8B8");
    assert_eq!(exit_of(&format!("tr31 unwrap {block}"), &[KEY]), 1);
    let broken = calc(&format!("tr31 inspect {}", &block[..79]), &[]).unwrap();
    assert_eq!(broken.get("class").unwrap(), "length_field");
    assert_eq!(broken.verdict().unwrap_err().code, 1);

    let aes = "88E1AB2A2E3DD38C1FA039A536500CC8A87AB9D62DC92C01058FA79F44657DE6";
    let wrap = "tr31 wrap --usage P0 --mode B --block LB=zone --block KP=0145";
    assert_eq!(exit_of(wrap, &[aes, "F039121BEC83D26B169BDCD5B22AAF8F"]), 1, "KP names another key");
    let made = value(
        "tr31 wrap --usage P0 --mode B --block LB=zone",
        &[aes, "F039121BEC83D26B169BDCD5B22AAF8F"],
        "key block",
    );
    assert!(value(&format!("tr31 inspect {made}"), &[], "block LB").starts_with("zone"));
    assert!(made.starts_with("D0128P0TB00E0200LB08zone"));
    assert_eq!(exit_of("tr31 wrap --usage P0 --mode X", &[aes, "F039121BEC83D26B169BDCD5B22AAF8F"]), 1);
}

#[test]
fn s_blocks() {
    let block = "S00072B0TN00E000256A37F894FD49E61DD3FA27FDE8919D07F7AA966F8BF39AB31D00034";
    let report = calc(&format!("sblock inspect {block}"), &[]).unwrap();
    assert_eq!(report.get("lmk").unwrap(), "02");
    assert_eq!(report.get("leaves as").unwrap(), "B0");
    assert_eq!(exit_of("sblock inspect S00072B0", &[]), 1);
}

#[test]
fn json_and_lines() {
    let report = calc("kcv", &[KEY]).unwrap();
    let mut out = Vec::new();
    report.write(true, &mut out).unwrap();
    let object: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(object["kcv"], "08D7B4");
    let mut out = Vec::new();
    report.write(false, &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().lines().any(|line| line == "kcv         08D7B4"));
}
