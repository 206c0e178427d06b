//! Three officers, an operator and an auditor, and the centre that they found. They speak to the manager through the
//! public interface only, each with an own channel key and an own approval key.

use super::manager::{Manager, PASSPHRASE};
use crate::exit::Failure;
use keylink::root::Recovery;
use keylink::succession::CentreKey;
use keymgr::api::ActionView;
use keymgr::client::{Client, ClientProblem, ManagerAddress};
use keymgr::core::action::Act;
use keymgr::core::approval::ActionState;
use keymgr::core::people::Role;
use keymgr::house::{Beginning, Genesis, House, Limits, Settings};
use keymgr::person::{Home, Identity, PersonRequest};
use keymgr::server::GENESIS;
use std::net::TcpListener;
use std::path::Path;

const NAMES: [(&str, Role); 5] = [
    ("Ada", Role::SecurityOfficer),
    ("Ben", Role::SecurityOfficer),
    ("Cleo", Role::SecurityOfficer),
    ("Otto", Role::Operator),
    ("Ida", Role::Auditor),
];

/// The persons of a centre.
pub struct People {
    officers: Vec<Client>,
    /// Asks.
    pub operator: Client,
    /// Reads.
    pub auditor: Client,
}

/// What a call that fails means for the run.
pub fn called(error: ClientProblem) -> Failure {
    Failure::environment(format!("the manager: {error}"))
}

// A port that stays the same through restarts.
fn free_address() -> Result<String, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(Failure::environment)?;
    Ok(listener.local_addr().map_err(Failure::environment)?.to_string())
}

/// Makes the folder of a centre and starts its manager.
pub fn found(folder: &Path, store: Option<&str>) -> Result<(Manager, People), Failure> {
    let pass = PASSPHRASE.as_bytes();
    let make = |(name, _): &(&str, Role)| Home::at(folder.join(name)).create(name, pass);
    let identities: Vec<Identity> =
        NAMES.iter().map(make).collect::<Result<_, _>>().map_err(Failure::environment)?;
    let requests = identities.iter().zip(NAMES);
    let persons: Vec<_> =
        requests.map(|(identity, (_, role))| (PersonRequest::of(identity), [role].into())).collect();
    let house = House::at(folder.join("kmc"));
    let settings = Settings {
        name: "demonstration".to_owned(),
        store: store.unwrap_or("store.db").to_owned(),
        listen: free_address()?,
        link: free_address()?,
        names: vec!["127.0.0.1".to_owned()],
        live: false,
        limits: Limits::default(),
    };
    let utc_ms = keymgr::client::utc_ms();
    let keys = house.create(&settings, pass).map_err(Failure::environment)?;
    let mut genesis = Genesis::draft(&Beginning {
        name: &settings.name,
        manifest: keys.ring.first(CentreKey::Manifest),
        checkpoint: keys.ring.first(CentreKey::Checkpoint),
        transport: keys.ring.first(CentreKey::Transport),
        persons: &persons,
        recovery: Recovery::default(),
        utc_ms,
    })
    .map_err(Failure::environment)?;
    for officer in identities.iter().take(3) {
        genesis.sign(officer).map_err(Failure::environment)?;
    }
    house.write(GENESIS, &genesis.to_bytes()).map_err(Failure::environment)?;
    let manager = Manager::start(folder)?;
    let people = People::new(&manager.address, identities)?;
    Ok((manager, people))
}

impl People {
    fn new(address: &ManagerAddress, identities: Vec<Identity>) -> Result<Self, Failure> {
        let clients = identities.into_iter().map(|identity| Client::new(address, identity));
        let mut officers: Vec<Client> = clients.collect::<Result<_, _>>().map_err(called)?;
        let missing = || Failure::environment("five persons");
        let auditor = officers.pop().ok_or_else(missing)?;
        let operator = officers.pop().ok_or_else(missing)?;
        Ok(Self { officers, operator, auditor })
    }

    /// The operator asks; two of the three officers approve, a different pair each time.
    pub async fn ask(&self, acts: &[Act], round: usize) -> Result<(), Failure> {
        for act in acts {
            self.operator.propose(act).await.map_err(called)?;
        }
        for seat in [round, round + 1] {
            let Some(officer) = self.officers.get(seat % self.officers.len()) else { continue };
            for view in officer.pending().await.map_err(called)? {
                officer.approve(&view).await.map_err(called)?;
            }
        }
        let all: Vec<ActionView> = self.operator.all("/actions").await.map_err(called)?;
        let bad =
            |view: &&ActionView| matches!(view.action.state, ActionState::Failed(_) | ActionState::Pending);
        match all.iter().find(bad) {
            Some(view) => Err(Failure::check(format!(
                "{} is not done: {:?}",
                view.word.as_deref().unwrap_or("an action"),
                view.action.state
            ))),
            None => Ok(()),
        }
    }
}
