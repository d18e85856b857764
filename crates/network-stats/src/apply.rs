//! Takes up the config file: at the start, and again at a reload.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use netstats_event::{Meta, Position};
use netstats_inventory::{Command, Inventory, InventoryHandle, Policy, decide};
use netstats_log::{Error, ErrorKind, Journal};
use netstats_projector::Runner;

use crate::config::{self, Config, Problem, Retention};
use crate::core::Core;
use crate::logging::Logging;
use crate::platform;
use crate::settings::Decided;

/// Other config events may come in between; then it is decided again.
const TRIES: usize = 10;
const VISIBLE_WITHIN: Duration = Duration::from_secs(10);
/// How often a config that waits for the log looks whether it takes events again.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What counts now, and the way to change it.
pub(crate) struct Applier {
    journal: Arc<Journal>,
    runner: Arc<Runner>,
    inventory: InventoryHandle,
    file: Option<PathBuf>,
    place: Place,
    now: RwLock<Config>,
    log: Arc<Logging>,
    /// Why the file was not taken up when it was last read again.
    refused: Mutex<Option<String>>,
    /// Why the config of the start is not taken up yet: the log was read-only.
    waits: Mutex<Option<String>>,
    /// A config is taken up at a time.
    taking_up: Mutex<()>,
}

/// Where the program listens: part of the target policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The addresses.
    pub(crate) own: Vec<SocketAddr>,
    /// Others can reach them.
    pub(crate) is_far: bool,
}

impl Place {
    /// The policy of a file here.
    fn policy(&self, config: &Config) -> Policy {
        let mut policy = config.policy.clone();
        policy.targets.own.clone_from(&self.own);
        policy.targets.local_services = config.local_services.unwrap_or(!self.is_far);
        policy
    }
}

/// What taking up a file did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// The last event appended; the newest event if nothing was.
    pub(crate) position: u64,
    /// Events appended, without the one that says so.
    pub(crate) changed: usize,
    /// What is not as the file says, and why.
    pub(crate) remarks: Vec<String>,
}

impl Applier {
    /// For the config that was decided on.
    pub(crate) fn new(core: &Core, decided: &Decided, log: Arc<Logging>, place: Place) -> Self {
        Self {
            journal: Arc::clone(&core.journal),
            runner: Arc::clone(&core.runner),
            inventory: core.inventory.clone(),
            file: decided.config_file.clone(),
            place,
            now: RwLock::new(decided.config.clone()),
            log,
            refused: Mutex::new(None),
            waits: Mutex::new(None),
            taking_up: Mutex::new(()),
        }
    }

    /// The limits on commands.
    pub(crate) fn policy(&self) -> Policy {
        self.place.policy(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How long raw values are kept.
    pub(crate) fn retention(&self) -> Retention {
        self.now.read().unwrap_or_else(PoisonError::into_inner).retention
    }

    /// Appends the differences between the config and the inventory. While the log is read-only they wait: what the log
    /// holds counts until [`Applier::until_taken_up`] is done.
    ///
    /// # Errors
    /// The config does not fit the inventory; the log is broken.
    pub(crate) fn apply_at_start(&self) -> Result<Applied> {
        let _one = held(&self.taking_up);
        let outcome = self.apply_now();
        let Some(why) = outcome.as_ref().err().and_then(not_now) else { return outcome };
        let remark = format!("the config is not taken up yet, what the log holds counts until then: {why}");
        tracing::warn!("{remark}");
        *held(&self.waits) = Some(why);
        Ok(Applied { position: self.journal.head().last, changed: 0, remarks: vec![remark] })
    }

    /// Takes up what waits since the start as soon as the log takes events. Ends when nothing waits.
    pub(crate) async fn until_taken_up(self: Arc<Self>) {
        while self.waits().is_some() {
            tokio::time::sleep(LOOK_EVERY).await;
            let this = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || this.try_again()).await {
                return tracing::error!(%error, "taking up the config broke");
            }
        }
    }

    /// Why the config of the start is not taken up yet; none if it is.
    pub(crate) fn waits(&self) -> Option<String> {
        held(&self.waits).clone()
    }

    fn try_again(&self) {
        let _one = held(&self.taking_up);
        // A reload may have been first.
        if self.waits().is_none() || self.journal.refusal().is_some() {
            return;
        }
        let outcome = self.apply_now();
        let (waits, refused) = match &outcome {
            Ok(applied) => {
                tracing::info!(changed = applied.changed, "the config is taken up now: the log takes events again");
                applied.remarks.iter().for_each(|remark| tracing::warn!("{remark}"));
                (None, None)
            }
            Err(error) => match not_now(error) {
                Some(why) => (Some(why), None),
                None => {
                    tracing::error!("the config was not taken up: {error:#}");
                    (None, Some(format!("{error:#}")))
                }
            },
        };
        *held(&self.waits) = waits;
        *held(&self.refused) = refused;
    }

    fn apply_now(&self) -> Result<Applied> {
        let config = self.now.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.apply_this(&config)
    }

    /// Reads the file again and takes it up; the old config stays if anything is wrong with it.
    ///
    /// # Errors
    /// There is no file, it is wrong, it does not fit the inventory, or the log does not take events.
    pub(crate) fn reload(&self) -> Result<Applied> {
        let _one = held(&self.taking_up);
        let outcome = self.read_again();
        *held(&self.refused) = outcome.as_ref().err().map(|error| format!("{error:#}"));
        if outcome.is_ok() {
            *held(&self.waits) = None;
        }
        outcome
    }

    /// Why the file as it is now does not count; none if it does.
    pub(crate) fn refused(&self) -> Option<String> {
        held(&self.refused).clone()
    }

    fn read_again(&self) -> Result<Applied> {
        let Some(file) = &self.file else {
            bail!("there is no config file: the product was started with the one built in");
        };
        let config = config::load(file)?;
        let mut applied = self.apply_this(&config)?;
        applied.remarks.extend(below_floor(&self.inventory.current(), &config.policy));
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        for (changed, what) in [
            (now.server != config.server, "server"),
            (now.data_dir != config.data_dir, "data_dir"),
            (now.log != config.log, "log"),
        ] {
            if changed {
                applied.remarks.push(format!("`{what}` changed: it counts at the next start"));
            }
        }
        if now.log_level != config.log_level {
            applied.remarks.extend(self.log.take_up(config.log_level.as_deref()));
        }
        applied.remarks.extend(config.warnings.iter().cloned());
        *now = config;
        Ok(applied)
    }

    fn apply_this(&self, config: &Config) -> Result<Applied> {
        let policy = self.place.policy(config);
        for _ in 0..TRIES {
            let state = self.inventory.current();
            let (desired, left_out) = config.desired(platform::gateway());
            let starts = desired.starter.is_some() && !state.starter_applied;
            let command = Command::ApplyConfig(desired);
            let events = decide(&state, command, &Meta::by("config"), &policy)
                .map_err(|no| Problem::whole(&config.file, no.to_string()))?;
            if events.is_empty() {
                return Ok(Applied { position: state.position.0, ..Applied::default() });
            }
            let changed = events.len() - 1;
            let last = match self.journal.submit_if_config_unmoved(events, state.position).wait() {
                Ok(appended) => appended.last,
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    // What came in between is in the log; it will be visible in a moment.
                    let _ = self.runner.wait_for(Position(self.journal.head().last), VISIBLE_WITHIN);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            if !self.runner.wait_for(last, VISIBLE_WITHIN) {
                bail!("the config was recorded, but the views do not show it: see their failure in /api/health");
            }
            let remark = |name: &String| {
                format!("this machine has no default gateway: the starter goes without the destination \"{name}\"")
            };
            let remarks = left_out.iter().filter(|_| starts).map(remark).collect();
            return Ok(Applied { position: last.0, changed, remarks });
        }
        Err(anyhow!("others changed the configuration {TRIES} times in a row while it was taken up: try again"))
    }
}

/// Jobs that were allowed before the floor was raised: they go on as they are, and that is said.
fn below_floor(inventory: &Inventory, policy: &Policy) -> impl Iterator<Item = String> {
    let floor = policy.min_interval_s;
    let below = inventory.jobs.values().filter(move |job| job.spec.interval_s < floor);
    below.map(move |job| {
        let (name, interval_s) = (&job.spec.name, job.spec.interval_s);
        format!(
            "job \"{name}\" runs every {interval_s} s, below the floor of {floor} s: it goes on, until it is changed"
        )
    })
}

/// What the log says if it is only for now that it takes nothing.
fn not_now(error: &anyhow::Error) -> Option<String> {
    let error = error.downcast_ref::<Error>().filter(|error| error.kind() == ErrorKind::Unavailable)?;
    Some(error.to_string())
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
