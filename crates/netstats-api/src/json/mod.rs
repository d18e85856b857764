//! JSON at the door: a reader that says which field is wrong and what is accepted, and the shapes that go out.

mod account;
mod destination;
mod duration;
mod event;
mod export;
mod figures;
mod job;
mod options;
mod options_input;
mod read;
mod shapes;
mod time;

pub(crate) use account::{
    AccountingInput, AccountingJson, AnnotationInput, AnnotationJson, MaintenanceInput, MaintenanceJson,
    read_accounting, read_annotation, read_maintenance,
};
pub(crate) use destination::{DestinationInput, DestinationJson, DestinationPatch, read_destination};
pub use event::update_text;
pub(crate) use event::{event_data, hex, row_text};
pub(crate) use export::{ExportInput, ExportJson, RunJson, read_export};
pub(crate) use figures::{Columns, Figures, PointRow, percent, reasons};
pub(crate) use job::{
    JobInput, JobJson, JobPatch, ReadBy, StateJson, read_job, read_job_by_names, read_past_destinations, read_time,
};
pub(crate) use options::read_options;
pub(crate) use options_input::OptionsInput;
pub(crate) use read::{Fields, Json, parse};
pub(crate) use shapes::{NO_CONTROL, NameOrId, NameText, RoleWord, TestedWord};
pub use time::moment_of;
pub(crate) use time::{Time, TimeInput, parse_moment, time_schema};
