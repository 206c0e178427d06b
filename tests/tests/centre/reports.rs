//! Reports as the manager serves them: whole whatever the size of pages, the same numbers as the lists, and refused to
//! whoever may not read what they are made from.

use crate::house::Centre;
use crate::nodes;
use crate::rotation::{enrolled, rotate, wishes};
use keymgr::api::{HolderView, NodeView};
use keymgr::client::{Client, ClientProblem, plan_zone};
use keymgr::core::action::Act;
use keymgr::core::campaign::Campaign;
use keymgr::core::node::{Progress, Zone};
use keymgr::report::{Report, fetch};
use serde_json::{Value, json};

fn code(problem: ClientProblem) -> (u16, String) {
    match problem {
        ClientProblem::Refused(problem) => (problem.status, problem.code),
        other => panic!("{other:?}"),
    }
}

// Page by page; facts come with the first.
async fn by_pages(client: &Client, path: &str, limit: usize) -> Vec<Vec<String>> {
    let (mut rows, mut after) = (Vec::new(), String::new());
    let mark = if path.contains('?') { '&' } else { '?' };
    loop {
        let page: Report = client.get(&format!("/reports/{path}{mark}limit={limit}{after}")).await.unwrap();
        assert!(page.rows.len() <= limit && page.rows.iter().all(|row| row.len() == page.columns.len()));
        assert_eq!(page.facts.is_empty(), !after.is_empty(), "{path}");
        rows.extend(page.rows);
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => return rows,
        }
    }
}

fn fact<'a>(report: &'a Report, name: &str) -> &'a str {
    &report.facts.iter().find(|(named, _)| named == name).unwrap_or_else(|| panic!("{name}")).1
}

fn column<'a>(report: &'a Report, name: &str) -> Vec<&'a str> {
    let at = report.columns.iter().position(|column| column == name).unwrap();
    report.rows.iter().map(|row| row[at].as_str()).collect()
}

// Two nodes, of which one goes away after the first rotation, and a second zone where nothing was rotated.
async fn place(centre: &Centre) -> (Campaign, Vec<tokio::task::JoinHandle<()>>) {
    let asking = enrolled(centre, &["n1", "n2"]).await;
    let (_, acts) = plan_zone(&centre.operator, &wishes("east", &asking)).await.unwrap();
    centre.ask(&acts).await;
    let (_, acts) = plan_zone(&centre.operator, &wishes("west", &asking[..1])).await.unwrap();
    centre.ask(&acts).await;
    let mut sides = Vec::new();
    for one in &asking {
        let identity = one.once().await.unwrap();
        sides.push(nodes::start(&identity, &one.store).await);
    }
    (rotate(centre, "east").await, sides)
}

#[tokio::test]
async fn reports_are_whole_by_pages_and_say_what_the_lists_say() {
    let mut centre = Centre::begin().await;
    let (first, sides) = place(&centre).await;
    let second = rotate(&centre, "east").await;
    let reader = &centre.auditor;
    let nodes: Vec<NodeView> = reader.all("/nodes").await.unwrap();
    let holders: Vec<HolderView> = reader.all("/holders").await.unwrap();

    let campaign = format!("campaign/{}", second.id);
    let paths = ["inventory", "expiring?days=4000", "nodes", "compliance", campaign.as_str()];
    for path in paths {
        let whole = fetch(reader, path).await.unwrap();
        assert!(!whole.rows.is_empty() && whole.next.is_none(), "{path}");
        for limit in [1, 2, 100] {
            assert_eq!(by_pages(reader, path, limit).await, whole.rows, "{path} by {limit}");
        }
        assert_eq!(fact(&whole, "made by"), "Ida");
        for name in ["centre", "made", "backend class", "test master key", "log entries"] {
            assert!(!fact(&whole, name).is_empty(), "{path} {name}");
        }
    }

    // Every key, with as many nodes as the list of holders has for it.
    let inventory = fetch(reader, "inventory").await.unwrap();
    assert_eq!(column(&inventory, "key set"), ["east ZPK", "east ZPK"]);
    assert_eq!(column(&inventory, "zone"), ["east", "east"]);
    for (row, generation) in column(&inventory, "nodes by receipts").iter().zip([1, 2]) {
        let own: Vec<_> = holders.iter().filter(|h| h.generation.0 == generation).collect();
        let counted: usize = row
            .split(", ")
            .map(|part| {
                let (progress, count) = part.split_once(' ').unwrap();
                let count: usize = count.parse().unwrap();
                assert_eq!(own.iter().filter(|h| format!("{:?}", h.progress) == progress).count(), count);
                count
            })
            .sum();
        assert!(counted == own.len() && counted == 2, "{generation}: {row}");
    }
    let filtered: Report =
        reader.get(&format!("/reports/inventory?key_set={}&state=active", first.plan.key_set)).await.unwrap();
    assert_eq!(column(&filtered, "generation"), ["2"]);
    let soon = fetch(reader, "expiring?days=0").await.unwrap();
    assert!(soon.rows.is_empty() && soon.title.contains("within 0 days"), "{}", soon.title);

    // What the campaign came to, and by whose word.
    let report = fetch(reader, &campaign).await.unwrap();
    assert_eq!(fact(&report, "asked for by"), "Otto");
    assert!(fact(&report, "approved by").contains("Ada at ") && fact(&report, "approved by").contains("Ben"));
    assert_eq!((fact(&report, "zone"), fact(&report, "generation")), ("east", "2 after 1"));
    assert_eq!(column(&report, "new key by receipts"), ["Activated", "Activated"]);
    assert!(column(&report, "old key by receipts").iter().all(|progress| *progress != "Activated"));

    // As ordered everywhere; of what was never ordered nothing is behind.
    let compliance = fetch(reader, "compliance").await.unwrap();
    assert_eq!(compliance.rows.len(), 3);
    assert_eq!((fact(&compliance, "nodes"), fact(&compliance, "behind")), ("2", "0"));
    assert!(column(&compliance, "standing").iter().all(|standing| *standing == "as ordered"));
    let mut ordered = column(&compliance, "ordered");
    ordered.sort_unstable();
    assert_eq!(ordered, ["2", "2", "none"]);

    // One is stopped by people: it is counted as that, and as behind no more than before.
    let stopped = nodes.iter().find(|node| node.name == "n2").unwrap().id;
    let _: Value = centre
        .operator
        .post(&format!("/nodes/{stopped}/quarantine"), &json!({ "reason": "odd" }))
        .await
        .unwrap();
    let report = fetch(reader, "nodes").await.unwrap();
    assert_eq!((fact(&report, "nodes"), fact(&report, "quarantined nodes")), ("2", "1"));
    assert!(column(&report, "standing").contains(&"quarantined: odd"));
    let only: Report = reader.get(&format!("/reports/nodes?zone={}", first.zone)).await.unwrap();
    assert_eq!(only.rows.len(), 2);
    let compliance = fetch(reader, "compliance").await.unwrap();
    assert_eq!((fact(&compliance, "behind"), fact(&compliance, "quarantined nodes")), ("0", "1"));
    assert!(holders.iter().any(|holder| holder.progress == Progress::Activated));
    sides.iter().for_each(|side| side.abort());
    centre.end().await;
}

// A node that has not come for the key that protects is behind.
#[tokio::test]
async fn a_node_without_its_key_is_behind() {
    let mut centre = Centre::begin().await;
    let (_, sides) = place(&centre).await;
    let zones: Vec<Zone> = centre.operator.all("/zones").await.unwrap();
    let east = zones.iter().find(|zone| zone.alias == "east").unwrap().id;
    let late = enrolled(&centre, &["n3"]).await;
    let nodes = [late[0].enrolment.fingerprints().0].into();
    centre.ask(&[Act::AddMembers { zone: east, nodes }]).await;
    let report = fetch(&centre.auditor, "compliance").await.unwrap();
    assert_eq!((fact(&report, "nodes"), fact(&report, "behind")), ("3", "1"));
    let row = report.rows.iter().find(|row| row[0] == "n3").unwrap();
    assert_eq!((row[5].as_str(), row[6].as_str(), row[8].as_str()), ("1", "none", "behind"));
    sides.iter().for_each(|side| side.abort());
    centre.end().await;
}

#[tokio::test]
async fn reports_are_refused_as_what_they_are_made_from() {
    let mut centre = Centre::begin().await;
    let none = "01998877-6655-7fff-bfff-000000000000";
    for path in ["inventory", "expiring", "nodes", "compliance", &format!("campaign/{none}")] {
        let refused = centre.custodians[0].get::<Report>(&format!("/reports/{path}")).await.unwrap_err();
        assert_eq!(code(refused), (403, "role".to_owned()), "{path}");
        for query in ["after=%21", "after=e30", "limit=many", "colour=red"] {
            let refused =
                centre.auditor.get::<Report>(&format!("/reports/{path}?{query}")).await.unwrap_err();
            let allowed = [(400, "malformed".to_owned()), (404, "unknown".to_owned())];
            let (status, word) = code(refused);
            assert!(allowed.contains(&(status, word)), "{path}?{query}");
        }
    }
    let unknown = centre.auditor.get::<Report>(&format!("/reports/campaign/{none}")).await.unwrap_err();
    assert_eq!(code(unknown), (404, "unknown".to_owned()));
    let odd = centre.auditor.get::<Report>("/reports/campaign/newest").await.unwrap_err();
    assert_eq!(code(odd), (400, "malformed".to_owned()));
    let nothing = centre.auditor.get::<Report>("/reports/everything").await.unwrap_err();
    assert_eq!(code(nothing), (404, "no_path".to_owned()));
    // Nothing there is no refusal.
    for path in ["inventory", "expiring", "nodes", "compliance"] {
        let report = fetch(&centre.officers[0], path).await.unwrap();
        assert!(report.rows.is_empty() && report.next.is_none() && !report.columns.is_empty());
    }
    centre.end().await;
}
