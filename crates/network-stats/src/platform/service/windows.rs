//! The service manager of Windows. The service runs under its virtual account `NT SERVICE\\network-stats`, which exists
//! with it and has no password.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Parser;
use windows_service::service::{
    ServiceAccess, ServiceControl, ServiceControlAccept, ServiceErrorControl, ServiceExitCode, ServiceInfo,
    ServiceStartType, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_service::{define_windows_service, service_dispatcher};

use super::ServiceCommand;
use crate::ask::say;
use crate::cli::{Cli, Settings};
use crate::exit;
use crate::paths::Places;
use crate::platform::windows::{reload, stop};
use crate::serve::{Served, serve};

const NAME: &str = "network-stats";
const ACCOUNT: &str = "NT SERVICE\\network-stats";
/// How long a stop may take before the manager says that it hangs.
const STOP_WITHIN: Duration = Duration::from_secs(10);

static STATUS: OnceLock<ServiceStatusHandle> = OnceLock::new();

/// Where the service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Starting,
    Running,
    Stopping,
    /// With this exit code.
    Stopped(u8),
}

pub(super) fn run(command: ServiceCommand, settings: &Settings) -> Result<()> {
    match command {
        ServiceCommand::Install => install(settings),
        ServiceCommand::Uninstall => uninstall(),
        ServiceCommand::Start => {
            open(ServiceAccess::START)?.start::<OsString>(&[]).context("it does not start")?;
            say("started");
            Ok(())
        }
        ServiceCommand::Stop => {
            open(ServiceAccess::STOP)?.stop().context("it does not stop")?;
            say("stopping");
            Ok(())
        }
        ServiceCommand::Status => {
            let status = open(ServiceAccess::QUERY_STATUS)?.query_status().context("it is not known how it is")?;
            say(&format!("{:?}", status.current_state));
            Ok(())
        }
        ServiceCommand::Run => {
            let why = "the service manager starts this; by hand it is `network-stats serve`";
            service_dispatcher::start(NAME, ffi_service_main).context(why)
        }
    }
}

fn manager(access: ServiceManagerAccess) -> Result<ServiceManager> {
    ServiceManager::local_computer(None::<&str>, access)
        .context("the service manager does not let us in: run this as administrator")
}

fn open(access: ServiceAccess) -> Result<windows_service::service::Service> {
    let opened = manager(ServiceManagerAccess::CONNECT)?.open_service(NAME, access);
    opened.context("there is no such service, or this user may not touch it: network-stats service install")
}

fn install(settings: &Settings) -> Result<()> {
    let program = std::env::current_exe().context("where this program is, is not known")?;
    let places = Places::here();
    let data = match &settings.data_dir {
        Some(folder) => std::path::absolute(folder)?,
        None => places.data().context("the system names no folder for data: give one with --data-dir DIR")?,
    };
    let place = data.parent().map_or_else(|| data.clone(), Path::to_owned);
    std::fs::create_dir_all(&data).with_context(|| format!("{} cannot be made", data.display()))?;
    let info = ServiceInfo {
        name: NAME.into(),
        display_name: "Network Stats Collector".into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: program,
        launch_arguments: arguments(settings, &data, &place)?,
        dependencies: Vec::new(),
        account_name: Some(ACCOUNT.into()),
        account_password: None,
    };
    let manager = manager(ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)?;
    let service = manager.create_service(&info, ServiceAccess::CHANGE_CONFIG).context("it cannot be installed")?;
    service.set_description("Measures how the network does, on a schedule, and keeps the proof")?;
    close_to_others(if settings.data_dir.is_some() { &data } else { &place })?;
    say(&format!("installed; data is in {}", data.display()));
    say("it starts with the machine, and now with: network-stats service start");
    Ok(())
}

/// What the manager starts: the same settings, as absolute paths.
fn arguments(settings: &Settings, data: &Path, place: &Path) -> Result<Vec<OsString>> {
    let mut words: Vec<OsString> = vec!["service".into(), "run".into(), "--data-dir".into(), data.into()];
    let log_file =
        settings.log_file.clone().map_or_else(|| Ok(place.join("network-stats.log")), std::path::absolute)?;
    words.extend(["--log-file".into(), log_file.into()]);
    if let Some(config) = &settings.config {
        words.extend(["--config".into(), std::path::absolute(config)?.into()]);
    }
    if let Some(listen) = &settings.listen {
        words.extend(["--listen".into(), listen.into()]);
    }
    Ok(words)
}

/// The system, administrators and the service itself; nobody else, and nothing from the folder above. By their numbers:
/// names differ from language to language.
fn close_to_others(folder: &Path) -> Result<()> {
    let service = format!("{ACCOUNT}:(OI)(CI)F");
    let output = Command::new("icacls")
        .arg(folder)
        .args(["/inheritance:r", "/grant:r", "*S-1-5-18:(OI)(CI)F", "*S-1-5-32-544:(OI)(CI)F", &service])
        .output()
        .context("icacls does not start")?;
    if !output.status.success() {
        bail!("{} cannot be closed to others: {}", folder.display(), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn uninstall() -> Result<()> {
    let service = open(ServiceAccess::QUERY_STATUS | ServiceAccess::STOP | ServiceAccess::DELETE)?;
    if service.query_status()?.current_state != ServiceState::Stopped {
        service.stop().context("it does not stop")?;
    }
    service.delete().context("it cannot be removed")?;
    let place = Places::here().data().and_then(|data| Some(data.parent()?.to_owned())).unwrap_or_else(PathBuf::new);
    say(&format!("removed; what was measured is still in {}", place.display()));
    Ok(())
}

define_windows_service!(ffi_service_main, service_main);

/// Called by the manager on a thread of its own.
fn service_main(_: Vec<OsString>) {
    let on_control = |control| match control {
        ServiceControl::Stop | ServiceControl::Shutdown => {
            stop();
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::ParamChange => {
            reload();
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    let Ok(handle) = service_control_handler::register(NAME, on_control) else { return };
    let _ = STATUS.set(handle);
    report(Phase::Starting);
    // The process was started with the settings on its command line.
    let settings = Cli::parse().settings.without_empty();
    let outcome = crate::settings::decide(&settings, &Places::here()).and_then(|decided| serve(decided, Served::Real));
    let code = match &outcome {
        Ok(()) => 0,
        Err(error) => {
            if let Some(file) = &settings.log_file {
                let _ = std::fs::write(file.with_extension("failed"), format!("{error:#}\r\n"));
            }
            exit::code_of(error)
        }
    };
    report(Phase::Stopped(code));
}

/// Tells the manager, if it started us.
pub(crate) fn report(phase: Phase) {
    let Some(handle) = STATUS.get() else { return };
    let (current_state, wait_hint) = match phase {
        Phase::Starting => (ServiceState::StartPending, Duration::from_secs(120)),
        Phase::Running => (ServiceState::Running, Duration::ZERO),
        Phase::Stopping => (ServiceState::StopPending, STOP_WITHIN),
        Phase::Stopped(_) => (ServiceState::Stopped, Duration::ZERO),
    };
    let exit_code = match phase {
        Phase::Stopped(code) if code != 0 => ServiceExitCode::ServiceSpecific(u32::from(code)),
        _ => ServiceExitCode::Win32(0),
    };
    let controls_accepted = match phase {
        Phase::Running => {
            ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN | ServiceControlAccept::PARAM_CHANGE
        }
        _ => ServiceControlAccept::empty(),
    };
    let status = ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state,
        controls_accepted,
        exit_code,
        checkpoint: 0,
        wait_hint,
        process_id: None,
    };
    if let Err(error) = handle.set_service_status(status) {
        tracing::warn!(%error, "the service manager cannot be told how we do");
    }
}
