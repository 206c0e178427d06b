//! The clock of a centre that starts anew.

use crate::certificates::until;
use crate::house::Centre;
use keymgr::api::StatusView;
use keymgr::client::utc_ms;
use keymgr::core::alarm::{Alarm, AlarmKind};
use keymgr::service::Clock;
use std::time::Duration;

const DAY_MS: u64 = 86_400_000;

#[tokio::test]
async fn a_centre_that_starts_behind_its_log_goes_on_from_there_and_tells_people() {
    let mut centre = Centre::begin().await;
    let told = async |centre: &Centre| centre.auditor.get::<StatusView>("/status").await.unwrap().utc_ms;
    assert!(told(&centre).await < utc_ms() + 60_000);
    centre.end().await;
    centre.again_by(Clock::ahead(Duration::from_millis(3 * DAY_MS))).await;
    centre.end().await;
    // The machine has lost three days.
    centre.again().await;
    assert!(told(&centre).await > utc_ms() + 3 * DAY_MS - 60_000);
    until("people are told", async || {
        let all: Vec<Alarm> = centre.auditor.all("/alarms").await.unwrap();
        all.iter().any(|alarm| alarm.kind == AlarmKind::Clock && alarm.ended_utc_ms.is_none())
    })
    .await;
    centre.end().await;
}
