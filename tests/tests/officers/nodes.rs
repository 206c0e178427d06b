//! Nodes that ask to be known, at their own places: they may start again while officers think, and are named so that no
//! two are taken for one another.

use serde_json::Value;
use tests::house::House;

fn house() -> House {
    House::found(&["ada", "ben", "cleo", "otto"], &["--operator", "otto.person"])
}

#[test]
fn a_node_that_waits_may_start_again() {
    let mut house = house();
    let _manager = house.serve(&[]);
    // Asked once, twice: the same node, the same request, the same token.
    house.run("otto", &["node", "token", "n1"]);
    let join = ["node", "join", "n1.token", "--data", "n1", "--name", "n1", "--wait-s", "0"];
    let (first, again) = (house.attempt("admin", &join), house.attempt("admin", &join));
    for asked in [&first, &again] {
        assert!(asked.code == 1 && asked.err.contains("waiting for the officers"), "{}", asked.err);
    }
    assert_eq!(first.out, again.out);
    let id = first.out.lines().find_map(|line| line.strip_prefix("node=")).unwrap().to_owned();
    // The same while it serves, and is killed.
    let (serving, shown) = house.node("n2");
    let asks = |house: &House| house.json("otto", &["node", "asking"]).as_array().unwrap().len() == 2;
    house.until("both ask", asks);
    drop(serving);
    let (_serving, shown_again) = house.node_again("n2");
    assert_eq!(shown, shown_again);
    house.approved("otto", &["node", "enrol", &format!("n1={id}"), &shown]);
    assert!(house.run("admin", &join).contains("enrolled kmc="));
    house.until("n2 is enrolled", |house| house.path("n2/node.json").exists());
    assert!(!house.path("n2/node-pending.json").exists() && !house.path("n1/node-pending.json").exists());
    // A join without a backend leaves its keys clear; the first start seals them, and erases what else may hold them.
    let text: Value = serde_json::from_slice(&std::fs::read(house.path("n1/node.json")).unwrap()).unwrap();
    let seed = text["seed"].as_str().unwrap();
    let transport = text["transport_key"].as_str().unwrap().lines().nth(1).unwrap().as_bytes();
    let secrets = [seed.as_bytes().to_vec(), hex::decode(seed).unwrap(), transport.to_vec()];
    for left in ["n1/node.new", "n1/node-pending.json", "n1/node-pending.new"] {
        std::fs::copy(house.path("n1/node.json"), house.path(left)).unwrap();
    }
    let _back = house.node_back("n1");
    house.until("n1 serves", |house| {
        let nodes = house.json("otto", &["node", "list"]);
        nodes.as_array().unwrap().iter().all(|node| node["root_kek"]["kcv"].is_string())
    });
    for name in ["n1", "n2"] {
        let files = house.files(name);
        assert!(files.iter().any(|(file, _)| file.ends_with("node.json")));
        for (file, content) in files {
            let found = secrets.iter().any(|secret| memchr::memmem::find(&content, secret).is_some());
            assert!(!found && !file.ends_with(".new"), "{name}: {file}");
        }
    }
    let sealed = std::fs::read_to_string(house.path("n2/node.json")).unwrap();
    assert!(
        sealed.contains("\"sealed\"") && !sealed.contains("seed"),
        "made beside its backend, never clear"
    );
}

#[test]
fn no_two_nodes_have_one_name() {
    let mut house = house();
    let _manager = house.serve(&[]);
    house.run("otto", &["node", "token", "n1", "n2", "n3"]);
    let join = |token: &str, data: &str, name: &str| {
        house.attempt("admin", &["node", "join", token, "--data", data, "--name", name, "--wait-s", "0"])
    };
    let first = join("n1.token", "a", "n1");
    let id = first.out.lines().find_map(|line| line.strip_prefix("node=")).unwrap().to_owned();
    // Names that would rewrite the table by which fingerprints are compared, or be taken for an id: the token stays good.
    for name in ["n1\u{1b}[2K", "n1\nn2", "", &id] {
        let bad = join("n2.token", "b", name);
        assert!(
            bad.code == 3 && bad.err.contains("a name has 1 to 64"),
            "{name:?}: {} {}",
            bad.code,
            bad.err
        );
    }
    house.approved("otto", &["node", "enrol", &format!("n1={id}")]);
    let taken = join("n2.token", "b", "n1");
    assert!(taken.code == 3 && taken.err.contains("another node has this name"), "{}", taken.err);
    // Two that ask under one name are told apart by their ids, and one of them is let in.
    let two = [join("n2.token", "b", "n2"), join("n3.token", "c", "n2")];
    assert!(two.iter().all(|asked| asked.err.contains("waiting for the officers")));
    let both = house.attempt("otto", &["node", "enrol", "--asking"]);
    assert!(both.code == 1 && both.err.contains("(exists)"), "{}", both.err);
    let either = house.attempt("otto", &["zone", "new", "east", "--nodes", "n2"]);
    assert!(either.code == 2 && either.err.contains("more than one node n2"), "{}", either.err);
    let second = two[0].out.lines().find_map(|line| line.strip_prefix("node=")).unwrap().to_owned();
    house.approved("otto", &["node", "enrol", &format!("n2={second}")]);
    let listed: Vec<Value> = serde_json::from_value(house.json("otto", &["node", "list"])).unwrap();
    let names: Vec<&str> = listed.iter().map(|node| node["name"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 2);
    assert_eq!(house.json("otto", &["node", "show", &second])["node"]["name"], "n2");
    let zone = house.attempt("otto", &["zone", "new", "east & <west>"]);
    assert!(zone.code == 1 && zone.err.contains("(value)"), "{} {}", zone.code, zone.err);
}

// What a log is held against comes from where the centre has no hand: a node at work gives the head that it has seen.
#[test]
fn a_node_gives_the_head_that_it_has_seen_while_it_serves() {
    let mut house = house();
    let manager = house.serve(&[]);
    let (node, first) = house.node("n1");
    house.until("it asks", |house| !house.json("otto", &["node", "asking"]).as_array().unwrap().is_empty());
    house.approved("otto", &["zone", "new", "east", "--enrol", &first, "--overlap", "2s", "--lead", "1s"]);
    house
        .until("a root KEK", |house| house.json("otto", &["node", "list"])[0]["root_kek"]["kcv"].is_string());
    house.run("otto", &["kmc", "verify", "--to", "before"]);
    let size = || house.json("admin", &["node", "show", "--data", "n1"])["checkpoint"]["size"].clone();
    house.run("otto", &["rotate", "zone", "east", "--yes"]);
    for officer in ["ada", "ben"] {
        house.run(officer, &["approve", "sign", "--all", "--yes"]);
    }
    house.run("otto", &["campaign", "watch"]);
    assert!(size().is_string(), "{}", house.json("admin", &["node", "show", "--data", "n1"]));
    let show = ["node", "show", "--data", "n1", "--head", "head"];
    assert!(house.run("admin", &show).contains("head "));
    house.run("otto", &["kmc", "verify", "--to", "after"]);
    let verify = |export: &str| {
        house.attempt("admin", &["audit", "verify", export, "--require-head", "--head", "head"])
    };
    let good = verify("after");
    assert!(good.code == 0 && good.out.contains("anchored     true"), "{} {}", good.out, good.err);
    // An older copy is all true, and a head tells that it is not all.
    let old = verify("before");
    assert!(old.code == 1 && old.out.contains("rolled_back"), "{} {}", old.out, old.err);
    let alone = house.attempt("otto", &["node", "show", "n1", "--head", "head"]);
    assert_eq!(alone.code, 2, "a head comes from the node's own folder");
    // The manager is away: the node says so once. Shown and kept when the node does not run, too.
    drop(manager);
    let log = |house: &House| std::fs::read_to_string(house.path("n1.log")).unwrap();
    house.until("the loss is told", |house| log(house).contains("manager not reached"));
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert_eq!(log(&house).matches("asks on, and says").count(), 1, "{}", log(&house));
    drop(node);
    // The newest that it has seen, which may be one of the time since.
    house.run("admin", &show);
    let kept = std::fs::read(house.path("head")).unwrap();
    house.run("admin", &show);
    assert_eq!(std::fs::read(house.path("head")).unwrap(), kept);
    // A node that has seen none says so.
    let fresh = house.attempt("admin", &["node", "show", "--data", "nowhere", "--head", "head"]);
    assert_eq!(fresh.code, 3, "{}", fresh.err);
}
