//! Somebody with the database's rights moves key blocks about, each to where it fits in usage, length and master key.
//! The manager does not start on such a store, and the verification names the rows.

use crate::ceremony::{CUSTODIANS, formed, zmk_set};
use crate::house::{Centre, PASSPHRASE, vault};
use keymgr::core::action::{Act, KeyRef};
use keymgr::house::House;
use keymgr::server::Server;
use serde_json::Value;
use std::path::Path;

// Row by row: key, and body.
fn rows(db: &rusqlite::Connection, table: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all = db.prepare(&format!("SELECT key, body FROM {table} ORDER BY key")).unwrap();
    all.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

fn block(body: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(body).unwrap();
    value["material"]["block"].as_str().map(str::to_owned)
}

fn swap(folder: &Path, keys: [KeyRef; 2]) {
    let db = rusqlite::Connection::open(folder.join("kmc/store.db")).unwrap();
    let name = |key: &KeyRef| [&key.key_set.0[..], &key.generation.0.to_be_bytes()].concat();
    let all = rows(&db, "generations");
    let found: Vec<_> =
        keys.iter().map(|key| all.iter().find(|(own, _)| *own == name(key)).unwrap()).collect();
    let blocks: Vec<String> = found.iter().map(|(_, body)| block(body).unwrap()).collect();
    assert_ne!(blocks[0], blocks[1]);
    for (at, (key, body)) in found.iter().enumerate() {
        let text = String::from_utf8(body.clone()).unwrap().replace(&blocks[at], &blocks[1 - at]);
        let changed =
            db.execute("UPDATE generations SET body = ?1 WHERE key = ?2", (text.into_bytes(), key)).unwrap();
        assert_eq!(changed, 1);
    }
}

#[tokio::test]
async fn no_manager_starts_with_a_block_in_another_row() {
    let mut centre = Centre::begin().await;
    let zmk_set = zmk_set(&centre, "exchange", keylink::message::Shape::Aes256).await;
    let one = zmk_set_of(&centre, "partner a").await;
    let two = zmk_set_of(&centre, "partner b").await;
    let mut keys = Vec::new();
    for (set, length) in [(zmk_set, 32), (one, 16), (two, 16)] {
        let parts = [&CUSTODIANS[0][..length], &CUSTODIANS[1][..length]];
        // Other components for another key: equal keys would not show a swap.
        let mut first = parts[0].to_vec();
        first[0] = u8::try_from(keys.len()).unwrap();
        let made = formed(&centre, set, [&first, parts[1]]).await;
        keys.push(KeyRef { key_set: made.key_set.unwrap(), generation: made.generation });
    }
    let [zmk, a, b] = [keys[0], keys[1], keys[2]];
    centre.ask(&[Act::ActivateKey(zmk), Act::ActivateKey(a), Act::ActivateKey(b)]).await;
    centre.end().await;
    swap(centre.folder.path(), [a, b]);
    // Nobody leads on such a store, and whoever tries is told a row of the two.
    let house = House::at(centre.folder.path().join("kmc"));
    let (keys, settings) = (house.open(PASSPHRASE).unwrap(), house.settings().unwrap());
    let refused = Server::start(&house, &settings, keys, vault()).await.map(|_| ()).expect_err("led");
    let why = format!("{refused:?}");
    let row = |key: &KeyRef| keymgr::store::key_text(&keymgr::core::row_key(key));
    assert!(why.contains("Edited") && why.contains("generations"), "{why}");
    let store = keymgr::store::Location::Sqlite(centre.folder.path().join("kmc/store.db"));
    let mut store = keymgr::store::Store::read(&store).unwrap();
    let report = keymgr::audit::verify_store(&mut store, keymgr::audit::Options::default()).unwrap();
    assert!(!report.holds);
    for key in [a, b] {
        assert!(report.findings.iter().any(|found| found.table == "generations" && found.key == row(&key)));
    }
}

async fn zmk_set_of(centre: &Centre, alias: &str) -> keylink::KeySetId {
    zmk_set(centre, alias, keylink::message::Shape::Aes128).await
}
