//! One behaviour on both databases: what a script of writes and reads gives is one golden text.

use crate::common::{BEGIN_MS, ORIGIN, Place, key};
use keymgr::log::{CheckpointKey, Entry, Ledger, Opening, Tiles, consistency, inclusion, root_at};
use keymgr::store::{Change, Error, Row, Store, Table, Value, cursor};
use std::fmt::Write;

fn entry(action: &str) -> Entry {
    Entry { actor: "anna".into(), action: action.into(), decision: "allowed".into(), ..Entry::default() }
}

fn show(rows: &[Row]) -> String {
    rows.iter().fold(String::new(), |mut text, row| {
        let body = String::from_utf8_lossy(&row.body);
        let _ = writeln!(text, "  {} {:?} {body:?} @{}", hex::encode(&row.key), row.columns, row.log_seq);
        text
    })
}

const ALIASES: [&str; 9] = ["", "A", "Z", "a", "z", "Ä", "ä", "ΩMEGA", "%20 x"];

fn writes(ledger: &mut Ledger) {
    let mut batch = Vec::new();
    for (n, alias) in ALIASES.iter().enumerate() {
        let key = [0x00, 0x01, 0x7f, 0x80, 0xff].iter().cycle().skip(n).take(2 + n % 2).copied().collect();
        let columns =
            [("alias", Value::from(*alias)), ("kind", "ZPK".into()), ("scope", [n as u8].as_slice().into())];
        batch.push((entry("key.make"), vec![Change::raw(Table::KeySets, key, &columns, b"{}".to_vec())]));
    }
    for n in 0..40u64 {
        let expires = if n % 10 == 9 { Value::Null } else { (BEGIN_MS + 1000 * (n * 7 % 10)).into() };
        let columns = [("number", Value::from(n)), ("state", "active".into()), ("expires_ms", expires)];
        let key = n.to_be_bytes().to_vec();
        batch.push((
            entry("generation.make"),
            vec![Change::raw(Table::Generations, key, &columns, vec![0xff, 0])],
        ));
    }
    let extremes = [("kind", Value::from("x")), ("raised_ms", Value::Int(i64::MAX))];
    let low =
        [("kind", Value::from("")), ("subject", [].as_slice().into()), ("raised_ms", Value::Int(i64::MIN))];
    batch.push((
        entry("alarm.raise"),
        vec![
            Change::raw(Table::Alarms, vec![1], &extremes, Vec::new()),
            Change::raw(Table::Alarms, vec![2], &low, Vec::new()),
        ],
    ));
    ledger.commit(batch, BEGIN_MS + 1, false).unwrap();
    ledger.checkpoint().unwrap();
    let again = Change::raw(Table::Alarms, vec![1], &[("kind", "y".into())], b"again".to_vec());
    let gone = Change::Delete { table: Table::Alarms, key: vec![2] };
    let never = Change::Delete { table: Table::Alarms, key: vec![3] };
    ledger.commit(vec![(entry("alarm.end"), vec![again, gone, never])], BEGIN_MS + 2, false).unwrap();
    ledger.checkpoint().unwrap();
}

fn reads(store: &mut Store) -> Result<String, Error> {
    let mut text = String::new();
    let mut part = |title: &str, rows: &[Row]| {
        let _ = write!(text, "{title}\n{}", show(rows));
    };
    part("alarms", &store.page(Table::Alarms, None, 10)?);
    let first = store.page(Table::KeySets, None, 4)?;
    part("key sets, first page", &first);
    part(
        "key sets, second page",
        &store.page(Table::KeySets, first.last().map(|row| row.key.as_slice()), 4)?,
    );
    for alias in ["a", "Ä", "", "b"] {
        part(&format!("alias {alias:?}"), &store.page_where(Table::KeySets, "alias", alias, None, 9)?);
    }
    part("kind after 01", &store.page_where(Table::KeySets, "kind", "ZPK", Some(&[1]), 3)?);
    for (owner, after) in
        [(0x7f, None), (0x7f, Some([0x7f, 0x80])), (0x80, Some([0, 1])), (0, Some([0x80, 0]))]
    {
        let rows = store.page_under(Table::KeySets, &[owner], after.as_ref().map(|key| &key[..]), 9)?;
        part(&format!("under {owner:02x} after {after:02x?}"), &rows);
    }
    let due = store.page_until(Table::Generations, "expires_ms", BEGIN_MS + 2000, None, 5)?;
    part("expiring, first page", &due);
    let place = due.last().map(|row| cursor(row, "expires_ms"));
    part(
        "expiring, second page",
        &store.page_until(Table::Generations, "expires_ms", BEGIN_MS + 2000, place.as_ref(), 50)?,
    );
    part("one", store.get(Table::Generations, &9u64.to_be_bytes())?.as_slice());
    let none = store.get(Table::Generations, &[])?;
    let _ = writeln!(text, "none {none:?}");
    let counts: Vec<u64> = Table::ALL.iter().map(|table| store.count(*table)).collect::<Result<_, _>>()?;
    let _ = writeln!(text, "counts {counts:?}");
    let due = store.count_until(Table::Generations, "expires_ms", BEGIN_MS + 2000)?;
    let _ = writeln!(text, "expiring {due}, log {}, version {}", store.log_size()?, store.version()?);
    store.each_line(50, &mut |seq, line| {
        let _ = writeln!(text, "{seq}: {line}");
        Ok(())
    })?;
    store.each_checkpoint(&mut |size, note| {
        let _ = write!(text, "{size}: {note}");
        Ok(())
    })?;
    Ok(text)
}

#[test]
fn both_databases_give_the_same_golden_results() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/store.txt");
    for place in Place::all() {
        let mut ledger = place.lead().unwrap();
        writes(&mut ledger);
        let from_leader = reads(ledger.store()).unwrap();
        assert_eq!(from_leader, reads(&mut place.read()).unwrap(), "{}", place.name());
        if std::env::var_os("PAYHSM_BLESS").is_some() {
            std::fs::write(file, &from_leader).unwrap();
        }
        assert_eq!(from_leader, std::fs::read_to_string(file).unwrap(), "{}", place.name());
        let report = place.verify();
        assert!(report.holds, "{}: {:?}", place.name(), report.findings);
        println!("{}: {:?}", place.name(), ledger.store().settings().unwrap());
    }
}

// Makes a new store one as they were before wide rows lay in one place: every table by its key, and two indexes more.
fn as_it_was(place: &Place) {
    let store = rusqlite::Connection::open(place.file()).unwrap();
    let (tables, rest): (Vec<_>, Vec<_>) = store
        .prepare("SELECT type, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap()
        .map(Result::<(String, String, String), _>::unwrap)
        .partition(|(kind, ..)| kind == "table");
    let wide: Vec<_> = tables.iter().filter(|(.., sql)| !sql.ends_with("WITHOUT ROWID")).collect();
    assert_eq!(wide.len(), 6, "{tables:?}");
    for (_, table, sql) in wide {
        let indexes: String =
            rest.iter().filter(|one| one.1 == *table).map(|one| one.2.clone() + ";").collect();
        let anew = format!(
            "ALTER TABLE {table} RENAME TO was; {sql}, WITHOUT ROWID; INSERT INTO {table} SELECT * FROM was;
             DROP TABLE was; {indexes}"
        );
        store.execute_batch(&anew).unwrap();
    }
    for table in ["receipts", "manifests"] {
        store.execute_batch(&format!("CREATE INDEX {table}_by_node ON {table} (node, key)")).unwrap();
    }
}

#[test]
fn a_store_as_it_was_before_wide_tables_goes_on() {
    let [before, now] = [Place::sqlite(), Place::sqlite()];
    for place in [&before, &now] {
        drop(place.lead().unwrap());
    }
    as_it_was(&before);
    let [before, now] = [before, now].map(|place| {
        let mut ledger = place.lead().unwrap();
        writes(&mut ledger);
        let receipts = (0..9).map(|n| {
            let columns = [("node", Value::from([n % 2].as_slice())), ("seq", u64::from(n).into())];
            (entry("receipt"), vec![Change::raw(Table::Receipts, vec![n % 2, n], &columns, vec![n; 3000])])
        });
        ledger.commit(receipts.collect(), BEGIN_MS + 3, true).unwrap();
        ledger.checkpoint().unwrap();
        drop(ledger);
        let report = place.verify();
        assert!(report.holds, "{:?}", report.findings);
        let mut ledger = place.lead().unwrap();
        let under = show(&ledger.store().page_under(Table::Receipts, &[1], None, 9).unwrap());
        reads(ledger.store()).unwrap() + &under
    });
    assert_eq!(before, now);
}

#[test]
fn of_what_one_batch_writes_over_the_last_stays_and_the_log_tells_all() {
    let put =
        |key: u8, body: &[u8]| Change::raw(Table::Alarms, vec![key], &[("kind", "x".into())], body.to_vec());
    let gone = |key: u8| Change::Delete { table: Table::Alarms, key: vec![key] };
    for place in Place::all() {
        let mut ledger = place.lead().unwrap();
        let first = ledger.store().log_size().unwrap();
        let steps = [
            vec![put(1, b"a"), put(2, b"a"), put(3, b"a")],
            vec![put(1, b"b"), gone(2)],
            vec![gone(3), put(3, b"c")],
        ];
        let batch = steps.into_iter().map(|changes| (entry("alarm.raise"), changes)).collect();
        ledger.commit(batch, BEGIN_MS, true).unwrap();
        let rows = ledger.store().page(Table::Alarms, None, 9).unwrap();
        let held: Vec<_> =
            rows.iter().map(|row| (row.key[0], row.body.as_slice(), row.log_seq - first)).collect();
        assert_eq!(held, [(1, b"b".as_slice(), 1), (3, b"c".as_slice(), 2)], "{}", place.name());
        let mut lines = Vec::new();
        ledger
            .store()
            .each_line(first, &mut |_, line| {
                lines.push(line);
                Ok(())
            })
            .unwrap();
        assert!(lines.len() >= 3 && lines[0].matches("alarms").count() == 3, "{lines:?}");
        ledger.checkpoint().unwrap();
        drop(ledger);
        let report = place.verify();
        assert!(report.holds, "{}: {:?}", place.name(), report.findings);
        place.lead().unwrap();
    }
}

#[test]
fn a_second_manager_is_kept_out_and_a_later_one_has_the_next_epoch() {
    for place in Place::all() {
        let first = place.lead().unwrap();
        assert_eq!(first.epoch(), 1);
        assert!(matches!(place.lead(), Err(Error::Held(_))), "{}", place.name());
        drop(first);
        let second = place.lead().unwrap();
        assert_eq!(second.epoch(), 2, "{}", place.name());
        assert!(place.verify().holds);
    }
}

#[test]
fn a_manager_that_was_passed_over_writes_nothing() {
    for place in Place::all() {
        let mut ledger = place.lead().unwrap();
        place.run("UPDATE leader SET epoch = 7");
        let change = Change::raw(Table::Zones, vec![1], &[], Vec::new());
        let refused = ledger.commit(vec![(entry("zone.make"), vec![change])], BEGIN_MS, true);
        assert!(matches!(refused, Err(Error::Fenced { ours: 1, found: 7 })), "{}: {refused:?}", place.name());
        assert_eq!(place.read().count(Table::Zones).unwrap(), 0);
        assert_eq!(place.read().log_size().unwrap(), 1);
    }
}

#[test]
fn a_leader_whose_session_is_gone_is_followed_and_writes_nothing() {
    let Some(place) = Place::postgres() else { return };
    let mut first = place.lead().unwrap();
    place.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'payhsm kmc' AND datname = current_database()");
    let mut second = place.lead().unwrap();
    assert_eq!(second.epoch(), 2);
    let make = |key| vec![(entry("zone.make"), vec![Change::raw(Table::Zones, vec![key], &[], Vec::new())])];
    assert!(matches!(first.commit(make(1), BEGIN_MS, false), Err(Error::Postgres(_))));
    second.commit(make(2), BEGIN_MS, false).unwrap();
    second.checkpoint().unwrap();
    assert_eq!(place.read().page(Table::Zones, None, 9).unwrap().len(), 1);
    assert!(place.verify().holds);
}

#[test]
fn stores_that_are_not_ours_are_refused() {
    for place in Place::all() {
        drop(place.lead().unwrap());
        let other = |origin, seed| {
            let key = CheckpointKey::new(origin, ed25519_dalek::SigningKey::from_bytes(&[seed; 32])).unwrap();
            Ledger::lead(Store::lead(&place.location()).unwrap(), key, "m", BEGIN_MS)
                .err()
                .map(|error| error.to_string())
        };
        assert_eq!(
            other("other.test/log", 42).unwrap(),
            "the log does not hold: the store is of another log"
        );
        assert!(other(ORIGIN, 43).unwrap().contains("key"));
        let to = |version: &str| {
            let bytes = place.bytes(version.as_bytes());
            let schema = place.bytes(b"schema");
            place.run(&format!("UPDATE meta SET body = {bytes} WHERE key = {schema}"));
        };
        to("99");
        assert!(matches!(place.lead(), Err(Error::Newer { found: 99, known: 1 })));
        to("x");
        assert!(matches!(place.lead(), Err(Error::Unreadable { .. })));
    }
}

#[test]
fn a_log_that_is_not_what_its_checkpoint_signed_is_not_led() {
    for (sql, what) in [
        ("UPDATE log SET line = replace(line, 'zone.make', 'zone.take') WHERE seq = 3", "checkpoint signed"),
        ("DELETE FROM log WHERE seq = 9", "entry 9 is missing"),
        ("UPDATE checkpoints SET note = replace(note, 'kmc', 'kmd')", "note"),
        ("UPDATE log SET line = replace(line, 'zone.make', 'zone.take') WHERE seq = 11", "follow"),
        ("DELETE FROM log WHERE seq = 11", "follow"),
    ] {
        for place in Place::all() {
            let mut ledger = place.lead().unwrap();
            let make =
                |key| (entry("zone.make"), vec![Change::raw(Table::Zones, vec![key], &[], Vec::new())]);
            ledger.commit((1..10).map(make).collect(), BEGIN_MS, false).unwrap();
            ledger.checkpoint().unwrap();
            ledger.commit((10..13).map(make).collect(), BEGIN_MS, false).unwrap();
            drop(ledger);
            place.run(sql);
            match place.lead() {
                Err(Error::Log(text)) => assert!(text.contains(what), "{sql}: {text}"),
                other => panic!("{}: {sql}: {:?}", place.name(), other.err()),
            }
        }
    }
}

#[test]
fn what_no_checkpoint_covers_is_declared_by_the_next_leader() {
    for place in Place::all() {
        let mut ledger = place.lead().unwrap();
        ledger.commit(vec![(entry("zone.make"), Vec::new()); 3], BEGIN_MS, false).unwrap();
        drop(ledger);
        let report = place.verify();
        assert!(
            !report.holds && report.findings.iter().all(|finding| finding.kind == "uncovered"),
            "{report:?}"
        );
        let mut ledger = place.lead().unwrap();
        let line = ledger.store().line(4).unwrap().unwrap();
        assert!(line.contains("leader.takeover") && line.contains("uncheckpointed:3"), "{line}");
        assert!(place.verify().holds);
    }
}

#[test]
fn the_time_of_a_log_is_that_of_its_last_signed_entry() {
    for place in Place::all() {
        let mut ledger = place.lead().unwrap();
        ledger.commit(vec![(entry("zone.make"), Vec::new())], BEGIN_MS + 7, true).unwrap();
        ledger.checkpoint().unwrap();
        // Whoever can write to the store could have put this there.
        ledger.commit(vec![(entry("zone.make"), Vec::new())], BEGIN_MS + 1_000_000, false).unwrap();
        drop(ledger);
        let opening = Opening::of(Store::lead(&place.location()).unwrap(), key()).unwrap();
        assert_eq!(opening.signed_utc_ms(), Some(BEGIN_MS + 7));
    }
    let empty = Place::sqlite();
    let opening = Opening::of(Store::lead(&empty.location()).unwrap(), key()).unwrap();
    assert_eq!(opening.signed_utc_ms(), None);
}

#[test]
fn proofs_from_tiles_hold_by_an_independent_judge() {
    use ct_merkle::{ConsistencyProof, InclusionProof, RootHash, digest::Output};
    use sha2::Sha256;
    let place = Place::sqlite();
    let mut ledger = place.lead().unwrap();
    let many = vec![(entry("zone.make"), Vec::new()); 250];
    for _ in 0..3 {
        ledger.commit(many.clone(), BEGIN_MS, true).unwrap();
    }
    let store = ledger.store();
    let size = store.log_size().unwrap();
    let root = |store: &mut Store, size| RootHash::<Sha256>::new(root_at(store, size).unwrap().into(), size);
    let whole = root(store, size);
    for index in [0, 1, 255, 256, 511, 512, 700, size - 1] {
        let path: Vec<Output<Sha256>> =
            inclusion(store, index, size).unwrap().into_iter().map(Into::into).collect();
        let line = store.line(index).unwrap().unwrap();
        whole
            .verify_inclusion(&line.into_bytes(), index, &InclusionProof::from_digests(path.iter()))
            .unwrap();
    }
    for old in [1, 2, 255, 256, 257, 512, 600, size] {
        let path: Vec<Output<Sha256>> =
            consistency(store, old, size).unwrap().into_iter().map(Into::into).collect();
        let before = root(store, old);
        whole.verify_consistency(&before, &ConsistencyProof::from_digests(path.iter())).unwrap();
    }
    assert!(inclusion(store, size, size).is_err() && consistency(store, 0, size).is_err());
    assert!(consistency(store, size + 1, size).is_err());
}

// What is kept of the tree serves a log that grows, whichever way it was asked before.
#[test]
fn roots_and_proofs_from_kept_tiles_are_those_from_the_store() {
    for place in Place::all() {
        let mut ledger = place.lead().unwrap();
        let many = vec![(entry("zone.make"), Vec::new()); 250];
        let mut tiles = Tiles::default();
        for round in 1u64..=4 {
            ledger.commit(many.clone(), BEGIN_MS, true).unwrap();
            let store = ledger.store();
            let size = store.log_size().unwrap();
            for size in [1, 2, 200, 255, 256, 257, 300, 511, 512, 513, 700, 768, size - 1, size] {
                if size > round * 250 {
                    assert!(tiles.root_at(store, size + 250).is_err(), "of entries to come");
                    continue;
                }
                assert_eq!(tiles.root_at(store, size).unwrap(), root_at(store, size).unwrap(), "{size}");
                for index in [0, size / 2, size - 1] {
                    let path = tiles.inclusion(store, index, size).unwrap();
                    assert_eq!(path, inclusion(store, index, size).unwrap(), "{index} of {size}");
                }
            }
        }
    }
}

#[test]
fn a_log_goes_on_under_another_key() {
    for place in Place::all() {
        let mut ledger = place.lead().unwrap();
        let next =
            |seed| CheckpointKey::new(ORIGIN, ed25519_dalek::SigningKey::from_bytes(&[seed; 32])).unwrap();
        ledger.commit(vec![(entry("zone.make"), Vec::new()); 3], BEGIN_MS, false).unwrap();
        assert!(ledger.change_key(next(43), "anna", BEGIN_MS).unwrap());
        ledger.commit(vec![(entry("zone.make"), Vec::new()); 3], BEGIN_MS, false).unwrap();
        ledger.checkpoint().unwrap();
        drop(ledger);
        assert!(place.verify().holds, "{:?}", place.verify().findings);
        assert!(Ledger::lead(Store::lead(&place.location()).unwrap(), key(), "m", BEGIN_MS).is_err());
        drop(Ledger::lead(Store::lead(&place.location()).unwrap(), next(43), "m", BEGIN_MS).unwrap());
        place.run("UPDATE checkpoint_keys SET body = key WHERE from_size > 0");
        assert!(place.verify().findings.iter().any(|finding| finding.kind == "key"));
    }
}

/// Signs while it is said to.
struct Wayward(keylink::SoftSigner, std::sync::Arc<std::sync::atomic::AtomicBool>);

impl keylink::TrySign for Wayward {
    fn public(&self) -> keylink::PublicKey {
        keylink::Sign::key(&self.0)
    }

    fn try_sign(&self, message: &[u8]) -> Result<[u8; 64], keylink::NotSigned> {
        if self.1.load(std::sync::atomic::Ordering::Relaxed) {
            Ok(keylink::Sign::sign(&self.0, message))
        } else {
            Err(keylink::NotSigned)
        }
    }
}

#[test]
fn a_log_goes_on_without_signatures_and_is_signed_when_its_key_is_back() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    for place in Place::all() {
        let signs = Arc::new(AtomicBool::new(true));
        let key = |seed| {
            let signer = Wayward(keylink::SoftSigner::new(&[seed; 32]), signs.clone());
            CheckpointKey::by(ORIGIN, Arc::new(signer)).unwrap()
        };
        let store = Store::lead(&place.location()).unwrap();
        let mut ledger = Ledger::lead(store, key(42), "m", BEGIN_MS).unwrap();
        let signed = ledger.newest_checkpoint().cloned();
        signs.store(false, Ordering::Relaxed);
        for _ in 0..3 {
            ledger.commit(vec![(entry("zone.make"), Vec::new())], BEGIN_MS, true).unwrap();
        }
        ledger.checkpoint().unwrap();
        assert!(ledger.waits_for_key() && ledger.uncovered() == 3);
        assert_eq!(ledger.newest_checkpoint().cloned(), signed, "what was signed stays the newest");
        let size = ledger.size();
        assert!(!ledger.change_key(key(43), "anna", BEGIN_MS).unwrap(), "both keys have to sign");
        assert_eq!((ledger.size(), ledger.uncovered()), (size, 3), "nothing is written");
        signs.store(true, Ordering::Relaxed);
        ledger.checkpoint().unwrap();
        assert!(!ledger.waits_for_key() && ledger.uncovered() == 0);
        assert!(ledger.change_key(key(43), "anna", BEGIN_MS).unwrap());
        drop(ledger);
        assert!(place.verify().holds, "{:?}", place.verify().findings);
    }
}
