//! The view's rows. Integers in keys are big-endian (rows in order of id), in values little-endian.
//!
//! ```text
//! "m"              position u64, next destination u32, next job u32, flags u8 (1: starter applied, 2: digest known),
//!                  digest 32 B, next annotation u32, next maintenance window u32, next user u32, next token u32,
//!                  next session u32, next export u32, accounting changed u64, version u16, payload
//! "d" id u32       created_at i64, updated_at i64, added u64, changed u64, version u16, payload
//! "j" id u32       the same, then enabled_changed u64, enabled_changed_at i64, version u16, payload
//! "n" id u32       an annotation: created_at i64, updated_at i64, added u64, changed u64, version u16, payload
//! "w" id u32       a maintenance window: the same
//! "e" id u32       an export: the same
//! "q" id u32       a run of it that was asked for and has not ended: position u64, at i64, version u16, payload
//! "x" id u32       its last runs, oldest first: each position u64, length u32, version u16, payload
//! "u" id u32       a user: created_at i64, changed u64, version u16, payload
//! "t" id u32       a token: created_at i64, added u64, version u16, payload
//! "s" id u32       a session: started_at i64, 0 u64, version u16, payload
//! "h" position u64 recorded_at i64, kind u16, destination u32 (0: none), job u32 (0: none)
//! ```
//! A payload is that of the event that would make the entry (`destination_added`, `job_added`, ...; `accounting_changed`
//! in "m"), in the event's own codec. Its meta: who last enabled or disabled the job, who last said what a remark says.
//! A new version of one of these events raises [`VERSION`].

use netstats_event::{
    AccountingChanged, AnnotationAdded, AnnotationId, DestinationAdded, DestinationId, Event, ExportId,
    ExportJobCreated, ExportRunFinished, ExportRunRequested, JobAdded, JobId, Kind, MaintenanceAdded, MaintenanceId,
    Meta, Position, SessionId, SessionStarted, Timestamp, TokenAdded, TokenId, UserAdded, UserId, decode, encode,
};
use netstats_projector::{Error, ErrorKind, RowBatch, RowReader};

use crate::access::{Session, Token, User};
use crate::fold::Dirty;
use crate::model::{Destination, FinishedRun, Inventory, Job, Remark, RequestedRun};
use crate::query::Change;

/// Of fold and rows together.
pub(crate) const VERSION: u32 = 5;

/// `flags` of the meta row.
const STARTER_APPLIED: u8 = 1;
const DIGEST_KNOWN: u8 = 2;

fn key(prefix: u8, id: u32) -> Vec<u8> {
    let mut key = vec![prefix];
    key.extend_from_slice(&id.to_be_bytes());
    key
}

/// Puts what changed into `rows`; nothing if nothing did.
pub(crate) fn flush(state: &Inventory, dirty: &Dirty, rows: &mut RowBatch) {
    for id in &dirty.destinations {
        match state.destinations.get(id) {
            Some(destination) => rows.put(key(b'd', id.0), destination_row(destination)),
            None => rows.remove(key(b'd', id.0)),
        }
    }
    for id in &dirty.jobs {
        match state.jobs.get(id) {
            Some(job) => rows.put(key(b'j', id.0), job_row(job)),
            None => rows.remove(key(b'j', id.0)),
        }
    }
    for id in &dirty.annotations {
        let row = state.annotations.get(id).map(|remark| {
            let event = AnnotationAdded { id: *id, spec: remark.spec.clone(), meta: remark.by.clone() };
            remark_row(remark, &event.into())
        });
        put_or_remove(rows, key(b'n', id.0), row);
    }
    for id in &dirty.maintenance {
        let row = state.maintenance.get(id).map(|remark| {
            let event = MaintenanceAdded { id: *id, spec: remark.spec.clone(), meta: remark.by.clone() };
            remark_row(remark, &event.into())
        });
        put_or_remove(rows, key(b'w', id.0), row);
    }
    for id in &dirty.exports {
        let row = state.exports.get(id).map(|remark| {
            let event = ExportJobCreated { id: *id, spec: remark.spec.clone(), meta: remark.by.clone() };
            remark_row(remark, &event.into())
        });
        put_or_remove(rows, key(b'e', id.0), row);
        put_or_remove(rows, key(b'x', id.0), state.export_runs.get(id).map(|runs| runs_row(*id, runs)));
        put_or_remove(rows, key(b'q', id.0), state.export_requests.get(id).map(|asked| request_row(*id, asked)));
    }
    let access = &state.access;
    for id in &dirty.users {
        put_or_remove(rows, key(b'u', id.0), access.users.get(id).map(|user| user_row(user)));
    }
    for id in &dirty.tokens {
        put_or_remove(rows, key(b't', id.0), access.tokens.get(id).map(|token| token_row(token)));
    }
    for id in &dirty.sessions {
        put_or_remove(rows, key(b's', id.0), access.sessions.get(id).map(|session| session_row(session)));
    }
    for change in &dirty.changes {
        let mut key = vec![b'h'];
        key.extend_from_slice(&change.position.0.to_be_bytes());
        let mut row = Vec::with_capacity(18);
        row.extend_from_slice(&change.recorded_at.as_nanos().to_le_bytes());
        row.extend_from_slice(&change.kind.to_le_bytes());
        row.extend_from_slice(&change.destination.map_or(0, |id| id.0).to_le_bytes());
        row.extend_from_slice(&change.job.map_or(0, |id| id.0).to_le_bytes());
        rows.put(key, row);
    }
    if !dirty.changes.is_empty() {
        let mut row = Vec::with_capacity(128);
        row.extend_from_slice(&state.position.0.to_le_bytes());
        row.extend_from_slice(&state.next_destination.0.to_le_bytes());
        row.extend_from_slice(&state.next_job.0.to_le_bytes());
        let starter = if state.starter_applied { STARTER_APPLIED } else { 0 };
        row.push(starter | if state.config_digest.is_some() { DIGEST_KNOWN } else { 0 });
        row.extend_from_slice(&state.config_digest.unwrap_or_default());
        row.extend_from_slice(&state.next_annotation.0.to_le_bytes());
        row.extend_from_slice(&state.next_maintenance.0.to_le_bytes());
        for next in [access.next_user.0, access.next_token.0, access.next_session.0, state.next_export.0] {
            row.extend_from_slice(&next.to_le_bytes());
        }
        row.extend_from_slice(&state.accounting_changed.0.to_le_bytes());
        push_payload(&mut row, &AccountingChanged { spec: state.accounting, meta: Meta::default() }.into());
        rows.put(*b"m", row);
    }
}

fn put_or_remove(rows: &mut RowBatch, key: Vec<u8>, row: Option<Vec<u8>>) {
    match row {
        Some(row) => rows.put(key, row),
        None => rows.remove(key),
    }
}

fn remark_row<Id, Spec>(remark: &Remark<Id, Spec>, event: &Event) -> Vec<u8> {
    let mut row = head(remark.created_at, remark.updated_at, remark.added, remark.changed);
    push_payload(&mut row, event);
    row
}

/// A row of access: one time, one position, and the event.
fn access_row(at: Timestamp, position: Position, event: &Event) -> Vec<u8> {
    let mut row = Vec::with_capacity(256);
    row.extend_from_slice(&at.as_nanos().to_le_bytes());
    row.extend_from_slice(&position.0.to_le_bytes());
    push_payload(&mut row, event);
    row
}

fn user_row(user: &User) -> Vec<u8> {
    let event = UserAdded { id: user.id, spec: user.spec.clone(), meta: Meta::default() };
    access_row(user.created_at, user.changed, &event.into())
}

fn token_row(token: &Token) -> Vec<u8> {
    let event = TokenAdded { id: token.id, spec: token.spec.clone(), meta: Meta::default() };
    access_row(token.created_at, token.added, &event.into())
}

fn session_row(session: &Session) -> Vec<u8> {
    let Session { id, user, hash, address, started_at, expires_at } = session.clone();
    let event = SessionStarted { id, user, hash, address, expires_at, meta: Meta::default() };
    access_row(started_at, Position::START, &event.into())
}

fn read_user(row: &[u8]) -> Option<User> {
    let mut row = Cursor(row);
    let (created_at, changed) = (row.time()?, row.position()?);
    match row.event(Kind::UserAdded)? {
        Event::UserAdded(e) => Some(User { id: e.id, spec: e.spec, created_at, changed }),
        _ => None,
    }
}

fn read_token(row: &[u8]) -> Option<Token> {
    let mut row = Cursor(row);
    let (created_at, added) = (row.time()?, row.position()?);
    match row.event(Kind::TokenAdded)? {
        Event::TokenAdded(e) => Some(Token { id: e.id, spec: e.spec, created_at, added }),
        _ => None,
    }
}

fn read_session(row: &[u8]) -> Option<Session> {
    let mut row = Cursor(row);
    let (started_at, _) = (row.time()?, row.position()?);
    match row.event(Kind::SessionStarted)? {
        Event::SessionStarted(SessionStarted { id, user, hash, address, expires_at, .. }) => {
            Some(Session { id, user, hash, address, started_at, expires_at })
        }
        _ => None,
    }
}

fn head(created_at: Timestamp, updated_at: Timestamp, added: Position, changed: Position) -> Vec<u8> {
    let mut row = Vec::with_capacity(512);
    row.extend_from_slice(&created_at.as_nanos().to_le_bytes());
    row.extend_from_slice(&updated_at.as_nanos().to_le_bytes());
    row.extend_from_slice(&added.0.to_le_bytes());
    row.extend_from_slice(&changed.0.to_le_bytes());
    row
}

/// What was decoded can be encoded. Were it not so, the row would end here, `load` would refuse it, and the view would
/// be folded from the log: slower, never wrong.
fn push_payload(row: &mut Vec<u8>, event: &Event) {
    if let Ok(draft) = encode(event, Timestamp::default()) {
        row.extend_from_slice(&draft.version.to_le_bytes());
        row.extend_from_slice(&draft.payload);
    }
}

fn destination_row(destination: &Destination) -> Vec<u8> {
    let mut row = head(destination.created_at, destination.updated_at, destination.added, destination.changed);
    let event = DestinationAdded { id: destination.id, spec: destination.spec.clone(), meta: Meta::default() };
    push_payload(&mut row, &event.into());
    row
}

fn job_row(job: &Job) -> Vec<u8> {
    let mut row = head(job.created_at, job.updated_at, job.added, job.changed);
    row.extend_from_slice(&job.enabled_changed.0.to_le_bytes());
    row.extend_from_slice(&job.enabled_changed_at.as_nanos().to_le_bytes());
    let event = JobAdded { id: job.id, spec: job.spec.clone(), meta: job.enabled_by.clone() };
    push_payload(&mut row, &event.into());
    row
}

/// Takes integers off the front of a row.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn position(&mut self) -> Option<Position> {
        self.u64().map(Position)
    }

    fn time(&mut self) -> Option<Timestamp> {
        self.take().map(i64::from_le_bytes).map(Timestamp::from_nanos)
    }

    fn event(mut self, kind: Kind) -> Option<Event> {
        let version = self.u16()?;
        decode(kind.code(), version, self.0).ok()
    }
}

fn read_destination(row: &[u8]) -> Option<Destination> {
    let mut row = Cursor(row);
    let (created_at, updated_at, added, changed) = (row.time()?, row.time()?, row.position()?, row.position()?);
    match row.event(Kind::DestinationAdded)? {
        Event::DestinationAdded(e) => {
            Some(Destination { id: e.id, spec: e.spec, created_at, updated_at, added, changed })
        }
        _ => None,
    }
}

fn read_job(row: &[u8]) -> Option<Job> {
    let mut row = Cursor(row);
    let (created_at, updated_at, added, changed) = (row.time()?, row.time()?, row.position()?, row.position()?);
    let (enabled_changed, enabled_changed_at) = (row.position()?, row.time()?);
    match row.event(Kind::JobAdded)? {
        Event::JobAdded(e) => Some(Job {
            id: e.id,
            enabled_since: e.spec.enabled.then_some(enabled_changed_at),
            spec: e.spec,
            created_at,
            updated_at,
            added,
            changed,
            enabled_changed,
            enabled_changed_at,
            enabled_by: e.meta,
        }),
        _ => None,
    }
}

/// What the four numbers at the front of a remark's row say, and the event that makes it.
fn read_remark(row: &[u8], kind: Kind) -> Option<(Remark<(), ()>, Event)> {
    let mut row = Cursor(row);
    let (created_at, updated_at, added, changed) = (row.time()?, row.time()?, row.position()?, row.position()?);
    let by = Meta::default();
    Some((Remark { id: (), spec: (), created_at, updated_at, added, changed, by }, row.event(kind)?))
}

impl Remark<(), ()> {
    fn with<Id, Spec>(self, id: Id, spec: Spec, by: Meta) -> Remark<Id, Spec> {
        let Self { created_at, updated_at, added, changed, .. } = self;
        Remark { id, spec, created_at, updated_at, added, changed, by }
    }
}

fn read_annotation(inventory: &mut Inventory, row: &[u8]) -> Option<()> {
    match read_remark(row, Kind::AnnotationAdded)? {
        (head, Event::AnnotationAdded(e)) => inventory.insert_annotation(head.with(e.id, e.spec, e.meta)),
        _ => return None,
    }
    Some(())
}

fn read_maintenance(inventory: &mut Inventory, row: &[u8]) -> Option<()> {
    match read_remark(row, Kind::MaintenanceAdded)? {
        (head, Event::MaintenanceAdded(e)) => inventory.insert_maintenance(head.with(e.id, e.spec, e.meta)),
        _ => return None,
    }
    Some(())
}

fn read_export(inventory: &mut Inventory, row: &[u8]) -> Option<()> {
    match read_remark(row, Kind::ExportJobCreated)? {
        (head, Event::ExportJobCreated(e)) => inventory.insert_export(head.with(e.id, e.spec, e.meta)),
        _ => return None,
    }
    Some(())
}

fn runs_row(id: ExportId, runs: &[FinishedRun]) -> Vec<u8> {
    let mut row = Vec::new();
    for FinishedRun { position, run, by } in runs {
        let mut event = Vec::new();
        push_payload(&mut event, &ExportRunFinished { id, run: run.clone(), meta: by.clone() }.into());
        row.extend_from_slice(&position.0.to_le_bytes());
        row.extend_from_slice(&u32::try_from(event.len()).unwrap_or(u32::MAX).to_le_bytes());
        row.extend_from_slice(&event);
    }
    row
}

fn read_runs(inventory: &mut Inventory, key: &[u8], row: &[u8]) -> Option<()> {
    let id = ExportId(u32::from_be_bytes(key.get(1..)?.try_into().ok()?));
    let (mut row, mut runs) = (Cursor(row), Vec::new());
    while !row.0.is_empty() {
        let position = row.position()?;
        let length = row.u32()?;
        let (event, rest) = row.0.split_at_checked(usize::try_from(length).ok()?)?;
        row.0 = rest;
        match Cursor(event).event(Kind::ExportRunFinished)? {
            Event::ExportRunFinished(e) => runs.push(FinishedRun { position, run: e.run, by: e.meta }),
            _ => return None,
        }
    }
    inventory.export_runs.insert(id, runs.into());
    Some(())
}

fn request_row(id: ExportId, asked: &RequestedRun) -> Vec<u8> {
    let mut row = Vec::new();
    row.extend_from_slice(&asked.position.0.to_le_bytes());
    row.extend_from_slice(&asked.at.as_nanos().to_le_bytes());
    push_payload(&mut row, &ExportRunRequested { id, meta: asked.by.clone() }.into());
    row
}

fn read_request(inventory: &mut Inventory, row: &[u8]) -> Option<()> {
    let mut row = Cursor(row);
    let (position, at) = (row.position()?, row.time()?);
    match row.event(Kind::ExportRunRequested)? {
        Event::ExportRunRequested(e) => {
            inventory.export_requests.insert(e.id, RequestedRun { position, at, by: e.meta })
        }
        _ => return None,
    };
    Some(())
}

fn read_change(key: &[u8], row: &[u8]) -> Option<Change> {
    let position = Position(u64::from_be_bytes(key.get(1..)?.try_into().ok()?));
    let mut row = Cursor(row);
    let (recorded_at, kind) = (row.time()?, row.u16()?);
    let (destination, job) = (row.u32()?, row.u32()?);
    Some(Change {
        position,
        recorded_at,
        kind,
        destination: (destination != 0).then_some(DestinationId(destination)),
        job: (job != 0).then_some(JobId(job)),
    })
}

fn read_meta(inventory: &mut Inventory, row: &[u8]) -> Option<()> {
    let mut row = Cursor(row);
    inventory.position = row.position()?;
    inventory.next_destination = DestinationId(row.u32()?);
    inventory.next_job = JobId(row.u32()?);
    let [flags] = row.take()?;
    let digest = row.take()?;
    inventory.starter_applied = flags & STARTER_APPLIED != 0;
    inventory.config_digest = (flags & DIGEST_KNOWN != 0).then_some(digest);
    inventory.next_annotation = AnnotationId(row.u32()?);
    inventory.next_maintenance = MaintenanceId(row.u32()?);
    inventory.access.next_user = UserId(row.u32()?);
    inventory.access.next_token = TokenId(row.u32()?);
    inventory.access.next_session = SessionId(row.u32()?);
    inventory.next_export = ExportId(row.u32()?);
    inventory.accounting_changed = row.position()?;
    match row.event(Kind::AccountingChanged)? {
        Event::AccountingChanged(e) => inventory.accounting = e.spec,
        _ => return None,
    }
    Some(())
}

/// The state that the rows hold.
///
/// # Errors
/// Corrupt if a row cannot be read; as [`RowReader`].
pub(crate) fn load(rows: &dyn RowReader) -> Result<(Inventory, Vec<Change>), Error> {
    let (mut inventory, mut changes) = (Inventory::default(), Vec::new());
    scan(rows, b'd', |_, row| read_destination(row).map(|entry| inventory.insert_destination(entry)))?;
    scan(rows, b'j', |_, row| read_job(row).map(|entry| inventory.insert_job(entry)))?;
    scan(rows, b'n', |_, row| read_annotation(&mut inventory, row))?;
    scan(rows, b'w', |_, row| read_maintenance(&mut inventory, row))?;
    scan(rows, b'e', |_, row| read_export(&mut inventory, row))?;
    scan(rows, b'x', |key, row| read_runs(&mut inventory, key, row))?;
    scan(rows, b'q', |_, row| read_request(&mut inventory, row))?;
    scan(rows, b'u', |_, row| read_user(row).map(|user| inventory.access.insert_user(user)))?;
    scan(rows, b't', |_, row| read_token(row).map(|token| inventory.access.insert_token(token)))?;
    scan(rows, b's', |_, row| read_session(row).map(|session| inventory.access.insert_session(session)))?;
    scan(rows, b'h', |key, row| read_change(key, row).map(|change| changes.push(change)))?;
    if let Some(row) = rows.get(b"m")? {
        read_meta(&mut inventory, &row).ok_or_else(|| unreadable(b"m"))?;
    }
    Ok((inventory, changes))
}

fn scan(rows: &dyn RowReader, prefix: u8, mut take: impl FnMut(&[u8], &[u8]) -> Option<()>) -> Result<(), Error> {
    let mut broken = None;
    rows.scan(&[prefix], &mut |key, row| {
        let taken = take(key, row).is_some();
        if !taken {
            broken = Some(unreadable(key));
        }
        taken
    })?;
    broken.map_or(Ok(()), Err)
}

fn unreadable(key: &[u8]) -> Error {
    let message =
        format!("row {} of the inventory view cannot be read: the view is rebuilt from the log", key.escape_ascii());
    Error::new(ErrorKind::Corrupt, message)
}
