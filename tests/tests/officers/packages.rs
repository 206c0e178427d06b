//! Nodes that no network reaches and nodes that are pushed to, by the command line: each verb by one person alone, what
//! it prints and leaves behind, and what it refuses.

use serde_json::Value;
use tests::house::{Ended, House, Process};

// A centre with two nodes in one zone that never serve: only files reach them.
fn house() -> (House, Process) {
    let mut house = House::found(
        &["ada", "ben", "cleo", "otto", "ida"],
        &["--operator", "otto.person", "--auditor", "ida.person"],
    );
    let manager = house.serve(&[]);
    house.run("otto", &["node", "token", "n1", "n2"]);
    let join = |name: &str| {
        let token = format!("{name}.token");
        house.attempt("admin", &["node", "join", &token, "--data", name, "--name", name, "--wait-s", "0"])
    };
    for name in ["n1", "n2"] {
        let asked = join(name);
        let id = asked.out.lines().find_map(|line| line.strip_prefix("node=")).unwrap().to_owned();
        house.approved("otto", &["node", "enrol", &format!("{name}={id}")]);
        assert!(join(name).out.contains("enrolled kmc="));
    }
    house.approved("otto", &["zone", "new", "east", "--nodes", "n1,n2"]);
    (house, manager)
}

fn package(house: &House, who: &str, args: &[&str]) -> Ended {
    house.attempt(who, &[&["node", "package"], args].concat())
}

// A program at a node's place reads the fingerprints while officers have not decided, and the centre when they have.
#[test]
fn a_node_is_joined_and_carried_to_by_a_program() {
    let (house, _manager) = house();
    house.run("otto", &["node", "token", "n3"]);
    let join = || {
        let args = ["node", "join", "n3.token", "--data", "n3", "--name", "n3", "--wait-s", "0", "--json"];
        let ended = house.attempt("admin", &args);
        let lines = ended.out.lines().map(|line| serde_json::from_str(line).unwrap());
        (ended.code, lines.collect::<Vec<Value>>())
    };
    let (code, asked) = join();
    assert!(code == 1 && asked.len() == 1 && asked[0]["request"].is_string(), "{code} {asked:?}");
    let id = asked[0]["node"].as_str().unwrap();
    house.approved("otto", &["node", "enrol", &format!("n3={id}")]);
    let (code, said) = join();
    assert!(code == 0 && said[0] == asked[0] && said[1]["node"] == asked[0]["node"], "{code} {said:?}");
    assert_eq!(said[1]["kmc"], house.json("ida", &["kmc", "status"])["counts"]["kmc"]);
    house.run("otto", &["node", "package", "n1", "--out", "there"]);
    let carry = ["node", "carry", "there", "back", "--data", "n1", "--insecure-test-lmk"];
    let carried = house.json("admin", &carry);
    assert_eq!((&carried["file"], &carried["class"]), (&"back".into(), &"C".into()));
    assert!(carried["epoch"].is_string() && carried["seq"].is_string(), "{carried}");
}

// At the node's place: nobody's credential is needed.
fn carry(house: &House, node: &str, there: &str, back: &str) -> Ended {
    house.attempt("admin", &["node", "carry", there, back, "--data", node, "--insecure-test-lmk"])
}

fn assert_ended(ended: &Ended, code: i32, said: &str) {
    assert!(ended.code == code && ended.err.contains(said), "{} {}\n{}", ended.code, ended.out, ended.err);
}

fn words(list: &Value, field: &str) -> Vec<String> {
    list.as_array().unwrap().iter().map(|one| one[field].as_str().unwrap().to_owned()).collect()
}

#[test]
fn there_and_back_by_files() {
    let (house, _manager) = house();
    let made = house.json("otto", &["node", "package", "n1", "--out", "there"]);
    assert_eq!((&made["node"], &made["file"], &made["taken"]), (&"n1".into(), &"there".into(), &Value::Null));
    assert!(made["messages"].as_array().unwrap().contains(&"root-kek-offer".into()), "{made}");
    let carried = carry(&house, "n1", "there", "back");
    assert!(carried.code == 0 && carried.out.contains("class="), "{}", carried.err);
    // What came back is taken before the next is made, over the file of the last way.
    let before = std::fs::read(house.path("there")).unwrap();
    let both = house.json("otto", &["node", "package", "n1", "--take", "back", "--out", "there"]);
    assert!(words(&both["taken"], "kind").contains(&"root-kek-accept".to_owned()), "{both}");
    assert!(words(&both["taken"], "fate").iter().all(|fate| fate == "taken"), "{both}");
    assert!(both["messages"].as_array().unwrap().contains(&"root-kek-confirm".into()), "{both}");
    assert_ne!(std::fs::read(house.path("there")).unwrap(), before);
    assert_eq!(carry(&house, "n1", "there", "back").code, 0);
    let text = house.run("otto", &["node", "package", "n1", "--take", "back"]);
    assert!(text.contains("receipt") && text.contains("taken"), "{text}");
    assert!(!house.json("ida", &["node", "show", "n1"])["node"]["root_kek"].is_null());
    // Brought again it changes nothing, and is no mistake.
    let again = house.json("otto", &["node", "package", "n1", "--take", "back"]);
    assert!(words(&again["taken"], "fate").iter().all(|fate| fate == "again"), "{again}");
}

#[test]
fn packages_are_refused_to_others_and_of_others() {
    let (house, _manager) = house();
    assert_ended(&package(&house, "ida", &["n1", "--out", "there"]), 1, "next: ask a person with that role");
    assert!(!house.path("there").exists(), "nothing is written for somebody who may not");
    assert_ended(&package(&house, "otto", &["nobody", "--out", "there"]), 2, "nobody");
    assert_ended(&package(&house, "otto", &["n1"]), 2, "--take <FILE>");
    assert_ended(&package(&house, "otto", &["n1", "--out", "no/folder/there"]), 3, "no/folder/there");
    std::fs::create_dir(house.path("folder")).unwrap();
    assert_ended(&package(&house, "otto", &["n1", "--out", "folder"]), 3, "folder");
    assert_ended(&package(&house, "otto", &["n1", "--take", "absent"]), 3, "absent");
    assert_ended(&package(&house, "otto", &["n1", "--take", "folder"]), 3, "folder");
    std::fs::write(house.path("noise"), "{}").unwrap();
    std::fs::write(house.path("long"), vec![b' '; (1 << 20) + 1]).unwrap();
    house.run("otto", &["node", "package", "n1", "--out", "there"]);
    assert_ended(&package(&house, "otto", &["n1", "--take", "noise"]), 1, "not a package of a node");
    assert_ended(&package(&house, "otto", &["n1", "--take", "there"]), 1, "not a package of a node");
    assert_ended(&package(&house, "otto", &["n1", "--take", "long"]), 1, "too long");
    // At the node: what is for another one, or is no package, or what it wrote itself.
    for (file, node) in [("there", "n2"), ("noise", "n1")] {
        assert_ended(&carry(&house, node, file, "back"), 1, "not a package for this node");
        assert!(!house.path("back").exists());
    }
    assert_eq!(carry(&house, "n1", "there", "back").code, 0);
    // What n1 wrote, handed in as another's or by somebody who may not.
    assert_eq!(package(&house, "otto", &["n2", "--take", "back"]).code, 1);
    assert_ended(&package(&house, "ida", &["n1", "--take", "back"]), 1, "next: ask a person with that role");
    assert!(house.json("ida", &["node", "show", "n2"])["node"]["root_kek"].is_null());
    let taken = house.json("otto", &["node", "package", "n1", "--take", "back"]);
    assert!(words(&taken["taken"], "fate").iter().all(|fate| fate == "taken"), "{taken}");
}

#[test]
fn where_a_node_is_pushed_to() {
    let (house, _manager) = house();
    let push = |who: &str, args: &[&str]| house.attempt(who, &[&["node", "push"], args].concat());
    let shown = |house: &House| house.json("ida", &["node", "show", "n1"])["node"]["push"].clone();
    // A port where nothing listens: the verb says where, the manager's log that nobody is there.
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap().to_string();
    drop(reserved);
    assert_ended(&push("ida", &["n1", &address]), 1, "next: ask a person with that role");
    assert_ended(&push("otto", &["nobody", &address]), 2, "nobody");
    assert_ended(&push("otto", &["n1"]), 2, "ADDRESS");
    assert_ended(&push("otto", &["n1", &address, "--off"]), 2, "--off");
    for bad in ["host", "host:0", "http://h:1", "::1:443"] {
        assert_ended(&push("otto", &["n1", bad]), 1, "(value)");
    }
    assert_eq!(shown(&house), Value::Null);
    let said = house.run("otto", &["node", "push", "n1", &address]);
    assert!(said.contains(&format!("n1 is pushed to at {address}")), "{said}");
    assert_eq!(shown(&house), address.as_str());
    house.until("the manager says that nobody is there", |house| {
        house.log().lines().any(|line| line.contains("push") && line.contains("wait_ms"))
    });
    // It goes on asking and answering meanwhile, and the node can be carried to all the same.
    house.run("otto", &["node", "package", "n1", "--out", "there"]);
    let said = house.run("otto", &["node", "push", "n1", "--off"]);
    assert!(said.contains("n1 is not pushed to"), "{said}");
    assert_eq!(shown(&house), Value::Null);
}
