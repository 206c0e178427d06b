//! Campaigns by the verbs: preview, watch, pause and resume, roll-back in the overlap, abort while a node is away, and an
//! emergency that does not wait for it. The nodes are processes of `payhsm serve`.

use serde_json::Value;
use std::time::Duration;
use tests::house::House;

fn phase(house: &House) -> String {
    let all = house.json("otto", &["campaign", "list"]);
    let newest = all.as_array().unwrap().last().expect("a campaign").clone();
    newest["phase"].as_str().unwrap().to_owned()
}

fn sign(house: &House, officers: &[&str]) {
    for officer in officers {
        house.run(officer, &["approve", "sign", "--all", "--yes"]);
    }
}

#[test]
fn campaigns_by_their_verbs() {
    let mut house = House::found(&["ada", "ben", "cleo", "otto"], &["--operator", "otto.person"]);
    let _manager = house.serve(&[]);
    let (_one, first) = house.node("n1");
    let (two, second) = house.node("n2");
    house.until("both ask", |house| house.json("otto", &["node", "asking"]).as_array().unwrap().len() == 2);
    house.run(
        "otto",
        &["zone", "new", "east", "--enrol", &first, "--enrol", &second, "--overlap", "2s", "--lead", "1s"],
    );
    sign(&house, &["ada", "ben"]);
    house.until("root KEKs", |house| {
        let nodes = house.json("otto", &["node", "list"]);
        nodes.as_array().unwrap().iter().all(|node| node["root_kek"]["kcv"].is_string())
    });
    let text = house.run("otto", &["node", "list"]);
    assert!(!house.json("otto", &["node", "list"]).to_string().contains("block"), "{text}");

    // Before anybody is asked: nodes, whether they are heard, and when what happens.
    let preview = house.run("otto", &["rotate", "zone", "east", "--dry-run"]);
    for word in ["n1", "n2", "heard", "needs 2 approvals", "protects not before", "waits for 2 of 2"] {
        assert!(preview.contains(word), "{word}:\n{preview}");
    }
    assert!(house.json("otto", &["campaign", "list"]).as_array().unwrap().is_empty(), "nothing was asked");

    // Paused by one, resumed by officers, and then to its end: watch says each state and ends with 0.
    house.run("otto", &["rotate", "zone", "east", "--yes", "--after", "20s"]);
    sign(&house, &["ada", "ben"]);
    house.run("otto", &["campaign", "pause"]);
    assert!(house.run("otto", &["campaign", "list"]).contains("(paused)"));
    let again = house.attempt("otto", &["rotate", "zone", "east", "--yes"]);
    assert!(
        again.code == 1 && again.err.contains("campaign_lives") && again.err.contains("next:"),
        "{}",
        again.err
    );
    house.run("otto", &["campaign", "resume"]);
    sign(&house, &["ada", "ben"]);
    let watched = house.run("otto", &["campaign", "watch", "--json"]);
    let states: Vec<Value> = watched.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(states.last().unwrap()["phase"], "completed", "{watched}");

    // In the overlap, back to the old key: what was protected with the new one is processed until the overlap ends.
    // The campaign did not complete, and watch says so with 1.
    house.run("otto", &["rotate", "zone", "east", "--yes", "--overlap", "40s"]);
    sign(&house, &["ada", "ben"]);
    house.until("the overlap", |house| phase(house) == "overlap");
    house.run("otto", &["campaign", "rollback"]);
    sign(&house, &["ada", "cleo"]);
    let watched = house.attempt("otto", &["campaign", "watch"]);
    assert!(watched.code == 1 && watched.err.contains("RolledBack"), "{} {}", watched.out, watched.err);

    // A node in traffic is away: the gate holds, and the campaign is given up before nodes protect.
    drop(two);
    house.run("otto", &["node", "traffic", "n1", "in"]);
    house.run("otto", &["node", "traffic", "n2", "in"]);
    house.run("otto", &["rotate", "zone", "east", "--yes"]);
    sign(&house, &["ada", "ben"]);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(phase(&house), "staging", "100 % of the nodes in traffic, or nothing");
    let excepted = house.attempt("otto", &["campaign", "except", &newest(&house), "n2"]);
    assert!(excepted.code == 1 && excepted.err.contains("in_traffic"), "{}", excepted.err);
    house.run("otto", &["campaign", "abort"]);
    sign(&house, &["ben", "cleo"]);
    let watched = house.attempt("otto", &["campaign", "watch"]);
    assert!(watched.code == 1 && watched.err.contains("Aborted"), "{}", watched.err);

    // The key may be known to others: three officers, no gate.
    let reason = ["rotate", "zone", "east", "--yes", "--emergency", "--reason", "a laptop is gone"];
    let asked = house.json("otto", &reason);
    assert_eq!(asked["quorum"], 3);
    sign(&house, &["ada", "ben"]);
    assert_ne!(phase(&house), "protecting", "two are too few");
    assert_eq!(house.json("ada", &["approve", "list"]).as_array().unwrap().len(), 1);
    sign(&house, &["cleo"]);
    house.until("n1 protects with the new key", |house| {
        let node = house.json("otto", &["node", "show", "n1"]);
        let keys = node["keys"].as_array().unwrap().clone();
        let newest = keys.iter().max_by_key(|key| key["generation"].as_u64()).unwrap();
        newest["progress"] == "activated"
    });
    for form in ["--html", "--csv"] {
        let report = house.run("otto", &["report", "campaign", form]);
        assert!(report.contains("n1") && report.contains("n2"), "{report}");
    }
    assert!(house.run("otto", &["report", "campaign"]).contains("a laptop is gone"));
    let compliance = house.json("otto", &["report", "compliance"]);
    let behind: Vec<_> =
        compliance["rows"].as_array().unwrap().iter().filter(|row| row[8] == "behind").collect();
    assert!(behind.len() == 1 && behind[0][0] == "n2", "{compliance}");
    assert!(house.run("otto", &["kmc", "verify"]).contains("signatures checked"));
}

fn newest(house: &House) -> String {
    let all = house.json("otto", &["campaign", "list"]);
    all.as_array().unwrap().last().unwrap()["id"].as_str().unwrap().to_owned()
}
