//! Known answers on every engine: FIPS 81 and the worked example of the DES literature, the variable
//! plaintext and key tables of NIST SP 800-17, and the TDES example of NIST SP 800-67.

use tdes_lanes::{Direction, Engine, Job, Lanes};

/// Runs the jobs on every engine that this CPU has and compares.
fn check(make: impl Fn() -> Vec<Job>, expected: &[u64]) {
    for engine in Engine::ALL {
        let Some(mut lanes) = Lanes::with_engine(engine) else { continue };
        let mut jobs = make();
        lanes.run(&mut jobs);
        let got: Vec<u64> = jobs.iter().map(Job::block).collect();
        assert_eq!(got, expected, "{engine:?}");
    }
}

#[test]
fn single_des_both_ways() {
    // Key, clear, enciphered: FIPS 81 table B1 (three blocks), then Grabbe's worked example.
    const ROWS: [[u64; 3]; 4] = [
        [0x0123456789ABCDEF, 0x4E6F772069732074, 0x3FA40E8A984D4815],
        [0x0123456789ABCDEF, 0x68652074696D6520, 0x6A271787AB8883F9],
        [0x0123456789ABCDEF, 0x666F7220616C6C20, 0x893D51EC4B563B53],
        [0x133457799BBCDFF1, 0x0123456789ABCDEF, 0x85E813540F0AB405],
    ];
    let make = || {
        let forth = ROWS.iter().map(|&[key, clear, _]| Job::single(key, clear, Direction::Encrypt));
        let back = ROWS.iter().map(|&[key, _, enciphered]| Job::single(key, enciphered, Direction::Decrypt));
        forth.chain(back).collect()
    };
    let expected: Vec<u64> = ROWS.iter().map(|row| row[2]).chain(ROWS.iter().map(|row| row[1])).collect();
    check(make, &expected);
}

#[test]
fn equal_keys_make_single_des_of_tdes() {
    let key = 0x0101010101010101;
    // NIST SP 800-17 table 1, first and last rows.
    let make = || {
        vec![
            Job::triple([key; 3], 0x8000000000000000, Direction::Encrypt),
            Job::double([key; 2], 0x0000000000000001, Direction::Encrypt),
            Job::single(key, 0x0000000000000001, Direction::Encrypt),
        ]
    };
    check(make, &[0x95F8A5E5DD31D900, 0x166B40B44ABA4BD6, 0x166B40B44ABA4BD6]);
}

#[test]
fn three_key_tdes_example_of_sp_800_67() {
    let keys = [0x0123456789ABCDEF, 0x23456789ABCDEF01, 0x456789ABCDEF0123];
    let clear = [0x5468652071756663, 0x6B2062726F776E20, 0x666F78206A756D70];
    let enciphered = [0xA826FD8CE53B855F, 0xCCE21C8112256FE6, 0x68D5C05DD9B6B900];
    check(|| clear.map(|block| Job::triple(keys, block, Direction::Encrypt)).into(), &enciphered);
    check(|| enciphered.map(|block| Job::triple(keys, block, Direction::Decrypt)).into(), &clear);
}

#[test]
fn bytes_are_big_endian_words() {
    let key: Vec<u8> = [0x0123456789ABCDEFu64, 0x23456789ABCDEF01, 0x456789ABCDEF0123]
        .iter()
        .flat_map(|word| word.to_be_bytes())
        .collect();
    let make = || vec![Job::with_key(&key, *b"The qufc", Direction::Encrypt).expect("24 bytes")];
    check(make, &[0xA826FD8CE53B855F]);
}

#[test]
fn variable_key_table_of_sp_800_17() {
    // Table 2, the first two rows and the last: one key bit set, all-zero clear block.
    let make = || {
        [0x8001010101010101u64, 0x4001010101010101, 0x0101010101010102]
            .map(|key| Job::single(key, 0, Direction::Encrypt))
            .into()
    };
    check(make, &[0x95A8D72813DAA94D, 0x0EEC1487DD8C26D5, 0x869EFD7F9F265A09]);
}
