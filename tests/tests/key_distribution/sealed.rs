//! Where a node's keys lie: sealed under its LMK or in its token, clear nowhere once its backend has been there, and
//! never lost on the way.

use crate::manager::{Manager, utc_ms};
use crate::node::{nowhere, parts, store};
use gateway::BackendFactory;
use gateway::node::{
    Custody, Enrolment, Identity, IdentityError, Keeper, KeyToken, NodeSide, TokenFault, Who, join,
};
use hsm::{Backend, LmkId};
use hsm_sim::{LmkKind, LmkSecret, LmkSet, Options, Simulator};
use keylink::message::{Alarm, StatusBeat};
use keylink::node::Rules;
use keylink::{NotSigned, PublicKey, Sign, SoftSigner};
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

const LMK: LmkId = LmkId(2);

fn simulator(set: LmkSet) -> Arc<BackendFactory> {
    Arc::new(move || -> Box<dyn Backend> { Box::new(Simulator::new(&set, Options::default()).unwrap()) })
}

fn keeper(token: Option<Custody>) -> Keeper {
    Keeper::new(simulator(LmkSet::public_test()), LMK, token)
}

/// Everything of a clear identity that nobody may find: seed and transport key, as bytes and as they are written.
fn secrets(file: &Path) -> Vec<Vec<u8>> {
    let text: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let seed = text["seed"].as_str().unwrap();
    let lines = text["transport_key"].as_str().unwrap().lines().filter(|line| !line.starts_with('-'));
    let mut all: Vec<Vec<u8>> = lines.filter(|line| line.len() > 30).map(|line| line.into()).collect();
    assert!(!all.is_empty());
    all.extend([seed.as_bytes().to_vec(), seed.to_uppercase().into_bytes(), hex::decode(seed).unwrap()]);
    all
}

fn is_clear_of(folder: &Path, secrets: &[Vec<u8>]) {
    let mut files = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let (path, mut found) = (entry.unwrap().path(), Vec::new());
        let content = std::fs::read(&path).unwrap();
        files += 1;
        found.extend(secrets.iter().filter(|secret| memchr::memmem::find(&content, secret).is_some()));
        assert!(found.is_empty(), "{}: {} secrets", path.display(), found.len());
    }
    assert!(files > 0);
}

fn clear(manager: &Manager, path: &Path) -> Identity {
    let enrolment = Enrolment::kept(path, manager.token("https://kmc.test")).unwrap();
    enrolment.identity().clone()
}

#[test]
fn a_clear_file_is_sealed_when_the_lmk_is_there_first() {
    let (folder, manager) = (tempfile::tempdir().unwrap(), Manager::new());
    let path = folder.path().join("node.json");
    let before = clear(&manager, &path);
    let secrets = secrets(&path);
    // What a kill of an earlier version leaves beside it.
    std::fs::copy(&path, folder.path().join("node.new")).unwrap();
    let sealed = keeper(None).open(&path).unwrap();
    is_clear_of(folder.path(), &secrets);
    let again = keeper(None).open(&path).unwrap();
    for identity in [&sealed, &again] {
        assert_eq!(identity.who(), before.who());
        assert_eq!(identity.tls().key, before.tls().key);
        let text = identity.signer().try_sign(b"text").unwrap();
        assert_eq!(before.signer().try_sign(b"text").unwrap(), text);
    }
    // What is written anew stays sealed, and who it is may be read without an LMK.
    again.save(&path).unwrap();
    is_clear_of(folder.path(), &secrets);
    assert_eq!(Who::load(&path).unwrap(), before.who());
    assert!(matches!(Identity::load(&path), Err(IdentityError::IsSealed)));
    assert!(!format!("{again:?}").contains("seed"));
}

#[test]
fn another_lmk_or_an_altered_file_is_refused_by_name_and_nothing_is_lost() {
    let (folder, manager) = (tempfile::tempdir().unwrap(), Manager::new());
    let path = folder.path().join("node.json");
    let before = clear(&manager, &path);
    keeper(None).open(&path).unwrap();
    let kept = std::fs::read(&path).unwrap();
    let mut set = LmkSet::default();
    let other = LmkSecret::new(LMK, LmkKind::AesBlock, "another", paytypes::ClearBytes::new(vec![0x3B; 32]));
    set.add(other.unwrap()).unwrap();
    let refused = Keeper::new(simulator(set), LMK, None).open(&path).unwrap_err().to_string();
    assert!(refused.contains("sealed under LMK 02 with check value"), "{refused}");
    let none = Keeper::new(simulator(LmkSet::default()), LMK, None).open(&path).unwrap_err().to_string();
    assert!(none.contains("LMK 02 is not loaded"), "{none}");
    // Another LMK may be named for what is sealed from now on: this file says itself what it is under.
    Keeper::new(simulator(LmkSet::public_test()), LmkId(0), None).open(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), kept);
    let text: serde_json::Value = serde_json::from_slice(&kept).unwrap();
    let changed = |change: &dyn Fn(&mut serde_json::Value)| {
        let (mut text, file) = (text.clone(), folder.path().join("changed.json"));
        change(&mut text);
        std::fs::write(&file, text.to_string()).unwrap();
        keeper(None).open(&file).unwrap_err().to_string()
    };
    let stranger = SoftSigner::new(&[9; 32]).key();
    for refused in [
        changed(&|text| text["sealed"]["nonce"] = "00".repeat(12).into()),
        changed(&|text| text["sealed"]["text"] = "AAAA".into()),
        changed(&|text| text["sealed"]["key"] = "S10096".into()),
        changed(&|text| text["key"] = serde_json::to_value(stranger).unwrap()),
    ] {
        assert!(refused.contains("or the file was altered"), "{refused}");
    }
    let both = changed(&|text| text["seed"] = "00".repeat(32).into());
    assert!(both.contains("neither clear nor sealed"), "{both}");
    let nowhere = changed(&|text| text["in_token"] = "kept".into());
    assert!(nowhere.contains("in the file or in a token"), "{nowhere}");
    assert_eq!(keeper(None).open(&path).unwrap().who(), before.who());
}

// Whenever the process is killed, one identity opens: beside it there may be a new file, whole or in part.
#[test]
fn at_every_point_of_a_kill_one_identity_opens() {
    let manager = Manager::new();
    let origin = tempfile::tempdir().unwrap();
    let path = origin.path().join("node.json");
    let before = clear(&manager, &path);
    let (old, secrets) = (std::fs::read(&path).unwrap(), secrets(&path));
    keeper(None).open(&path).unwrap();
    let new = std::fs::read(&path).unwrap();
    for length in [0, 1, new.len() / 2, new.len()] {
        for (named, beside) in [(&old, &new[..length]), (&new, &old[..length.min(old.len())])] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("node.json");
            std::fs::write(&path, named).unwrap();
            std::fs::write(folder.path().join("node.new"), beside).unwrap();
            assert_eq!(keeper(None).open(&path).unwrap().who(), before.who());
            is_clear_of(folder.path(), &secrets);
            assert!(!folder.path().join("node.new").exists());
        }
    }
}

/// A token in memory that does what a test says.
#[derive(Clone, Default)]
struct Soft(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    next: u8,
    made: HashMap<PublicKey, u8>,
    kept: HashMap<PublicKey, u8>,
    away: bool,
    keeps_nothing: bool,
    dies_when_kept: bool,
}

impl KeyToken for Soft {
    fn make(&mut self) -> Result<PublicKey, TokenFault> {
        let mut state = self.0.lock().unwrap();
        state.next += 1;
        let seed = state.next;
        let key = SoftSigner::new(&[seed; 32]).key();
        state.made.insert(key, seed);
        Ok(key)
    }

    fn keep(&mut self, key: &PublicKey, label: &str) -> Result<(), TokenFault> {
        assert!(label.starts_with("payhsm/node/"));
        let mut state = self.0.lock().unwrap();
        if state.keeps_nothing {
            return Err(TokenFault("CKR_DEVICE_MEMORY".into()));
        }
        let seed = state.made.remove(key).unwrap();
        state.kept.insert(*key, seed);
        if state.dies_when_kept { Err(TokenFault("killed".into())) } else { Ok(()) }
    }

    fn holds(&mut self, key: &PublicKey) -> Result<bool, TokenFault> {
        Ok(self.0.lock().unwrap().kept.contains_key(key))
    }

    fn sign(&mut self, key: &PublicKey, message: &[u8]) -> Result<[u8; 64], TokenFault> {
        let state = self.0.lock().unwrap();
        if state.away {
            return Err(TokenFault("CKR_TOKEN_NOT_PRESENT".into()));
        }
        let seed = state.kept.get(key).ok_or_else(|| TokenFault("no such key".into()))?;
        Ok(SoftSigner::new(&[*seed; 32]).sign(message))
    }

    fn destroy(&mut self, key: &PublicKey) -> Result<(), TokenFault> {
        self.0.lock().unwrap().kept.remove(key);
        Ok(())
    }
}

fn in_token(token: &Soft) -> Keeper {
    keeper(Some(Custody::start(Box::new(token.clone())).unwrap()))
}

#[test]
fn keys_that_are_made_with_a_backend_are_never_clear() {
    let (folder, manager) = (tempfile::tempdir().unwrap(), Manager::new());
    let path = folder.path().join("node-pending.json");
    let ask = |keeper: &Keeper| Enrolment::kept_by(keeper, &path, manager.token("https://kmc.test")).unwrap();
    let first = ask(&keeper(None));
    let again = ask(&keeper(None));
    assert_eq!(first.fingerprints(), again.fingerprints());
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("\"sealed\"") && !text.contains("seed") && !text.contains("transport_key"));
    // What was begun clear is sealed.
    let other = folder.path().join("clear.json");
    let clear = clear(&manager, &other);
    let sealed = Enrolment::kept_by(&keeper(None), &other, manager.token("https://kmc.test")).unwrap();
    assert_eq!(sealed.identity().node(), clear.node());
    assert!(!std::fs::read_to_string(&other).unwrap().contains("seed"));
}

#[test]
fn a_key_in_the_token_is_found_again_and_what_did_not_arrive_is_made_anew() {
    let (folder, manager, token) = (tempfile::tempdir().unwrap(), Manager::new(), Soft::default());
    let path = folder.path().join("node-pending.json");
    let ask = |keeper: &Keeper| Enrolment::kept_by(keeper, &path, manager.token("https://kmc.test"));
    // Killed before the token kept it, and after that.
    token.0.lock().unwrap().keeps_nothing = true;
    ask(&in_token(&token)).unwrap_err();
    let lost = Who::load(&path).unwrap();
    {
        let mut state = token.0.lock().unwrap();
        (state.keeps_nothing, state.dies_when_kept) = (false, true);
    }
    ask(&in_token(&token)).unwrap_err();
    let arrived = Who::load(&path).unwrap();
    assert_ne!(lost, arrived);
    token.0.lock().unwrap().dies_when_kept = false;
    let first = ask(&in_token(&token)).unwrap();
    assert_eq!(first.identity().who().key, arrived.key);
    assert!(first.identity().is_in_token());
    assert_eq!(ask(&in_token(&token)).unwrap().fingerprints(), first.fingerprints());
    assert_eq!(
        token.0.lock().unwrap().kept.keys().collect::<Vec<_>>(),
        [&arrived.key],
        "no other is left there"
    );
    // Once it was asked with, it is never made anew: another token is refused, and so is none.
    let other = ask(&in_token(&Soft::default())).unwrap_err().to_string();
    assert!(
        other.contains("in a token that is not this one") && other.contains("node-pending.json"),
        "{other}"
    );
    assert!(ask(&keeper(None)).unwrap_err().to_string().contains("in a token that is not this one"));
    assert_eq!(ask(&in_token(&token)).unwrap().fingerprints(), first.fingerprints());
}

#[test]
fn a_node_from_before_the_token_goes_on_with_its_key() {
    let (folder, manager, token) = (tempfile::tempdir().unwrap(), Manager::new(), Soft::default());
    let path = folder.path().join("node.json");
    let before = clear(&manager, &path);
    let sealed = in_token(&token).open(&path).unwrap();
    assert_eq!((sealed.who(), sealed.is_in_token()), (before.who(), false));
    assert!(token.0.lock().unwrap().kept.is_empty(), "it is not put there");
}

#[tokio::test]
async fn a_token_that_is_away_makes_no_message_and_is_told_of_afterwards() {
    let (folder, manager, token) = (tempfile::tempdir().unwrap(), Manager::new(), Soft::default());
    let (path, store) = (folder.path().join("node.json"), store(folder.path()));
    let enrolment = Enrolment::kept_by(&in_token(&token), &path, manager.token("https://kmc.test")).unwrap();
    let identity = join(&enrolment, "n", "B", &manager, &store, utc_ms()).await.unwrap();
    identity.save(&path).unwrap();
    let identity = in_token(&token).open(&path).unwrap();
    let node = identity.node();
    let mut side = NodeSide::start(&identity, parts(&store, nowhere()), Rules::default()).await.unwrap();
    manager.with(|state| state.offer_kek(node));
    token.0.lock().unwrap().away = true;
    let mail = manager.with(|state| state.mail(node, 0));
    let before = (side.machine().to_bytes(), store.load(node).unwrap());
    assert!(matches!(side.mail(&mail).await, Err(gateway::node::SideError::NotSigned(NotSigned))));
    assert_eq!((side.pull(0).unwrap_err(), side.answer(Vec::new()).unwrap_err()), (NotSigned, NotSigned));
    assert!(side.tick().await.unwrap().is_empty() && side.is_sound());
    assert_eq!((side.machine().to_bytes(), store.load(node).unwrap()), before);
    token.0.lock().unwrap().away = false;
    // It is left alone for a moment.
    let began = std::time::Instant::now();
    let beat = loop {
        match side.beat() {
            Ok(beat) => break beat,
            Err(NotSigned) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
        }
        assert!(began.elapsed().as_secs() < 10);
    };
    assert_eq!(beat.peek::<StatusBeat>().unwrap().alarms, [Alarm::Backend]);
    assert!(side.beat().unwrap().peek::<StatusBeat>().unwrap().alarms.is_empty(), "said once");
    let said = side.mail(&mail).await.unwrap();
    assert_eq!(said.len(), 1, "the same mail, and now its answer");
}
