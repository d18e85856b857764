//! systemd.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::{ServiceCommand, call};
use crate::ask::say;
use crate::cli::Settings;
use crate::exit::Usage;
use crate::platform;

const UNIT: &str = include_str!("../../../packaging/network-stats.service");
const PING: &str = include_str!("../../../packaging/ping.conf");
const UNIT_FILE: &str = "/etc/systemd/system/network-stats.service";
const PING_FILE: &str = "/etc/systemd/system/network-stats.service.d/ping.conf";
/// Where the unit expects the program.
const PACKAGED: &str = "/usr/bin/network-stats";
const USER: &str = "network-stats";

pub(super) fn run(command: ServiceCommand, settings: &Settings) -> Result<()> {
    match command {
        ServiceCommand::Install => install(settings),
        ServiceCommand::Uninstall => uninstall(),
        ServiceCommand::Start => call("systemctl", &["start", USER]),
        ServiceCommand::Stop => call("systemctl", &["stop", USER]),
        ServiceCommand::Status => call("systemctl", &["--no-pager", "status", USER]),
        ServiceCommand::Run => Err(Usage("systemd starts `network-stats serve`".to_owned()).into()),
    }
}

fn install(settings: &Settings) -> Result<()> {
    if !Path::new("/run/systemd/system").is_dir() {
        bail!("systemd does not run this machine: have `network-stats serve` started by what does");
    }
    let program = std::env::current_exe().context("where this program is, is not known")?;
    if !is_user_known() {
        let home = ["--no-create-home", "--home-dir", "/var/lib/network-stats", "--shell", "/usr/sbin/nologin"];
        call("useradd", &[&["--system", "--user-group"][..], &home, &[USER]].concat())?;
    }
    write(UNIT_FILE, &unit(&program, settings)?)?;
    if platform::ping_groups().is_some_and(|groups| groups.range.0 > groups.range.1) {
        write(PING_FILE, PING)?;
    }
    call("systemctl", &["daemon-reload"])?;
    call("systemctl", &["enable", USER])?;
    say("installed; it starts with the machine, and now with: network-stats service start");
    Ok(())
}

fn is_user_known() -> bool {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    users.lines().any(|line| line.split(':').next() == Some(USER))
}

/// The packaged unit for this program and these settings.
fn unit(program: &Path, settings: &Settings) -> Result<String> {
    let mut command = quoted(program)?;
    command.push_str(" serve");
    let absolute = |path: &Path| std::path::absolute(path).context("a path cannot be made absolute");
    let mut unit = UNIT.to_owned();
    if let Some(config) = &settings.config {
        command.push_str(&format!(" --config {}", quoted(&absolute(config)?)?));
    }
    if let Some(folder) = &settings.data_dir {
        let folder = quoted(&absolute(folder)?)?;
        command.push_str(&format!(" --data-dir {folder}"));
        unit = unit.replace("UMask=0077\n", &format!("UMask=0077\nReadWritePaths={folder}\n"));
    }
    if let Some(listen) = &settings.listen {
        command.push_str(&format!(" --listen {listen}"));
    }
    Ok(unit.replace(&format!("{PACKAGED} serve"), &command))
}

/// A word of a command line in a unit (systemd.service(5)).
fn quoted(path: &Path) -> Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    if text.contains(['\n', '\r']) {
        bail!("a line break in {text:?}");
    }
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    let is_plain = escaped.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    Ok(if is_plain { escaped } else { format!("\"{escaped}\"") })
}

fn write(path: &str, text: &str) -> Result<()> {
    if let Some(folder) = Path::new(path).parent() {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    fs::write(path, text)
        .with_context(|| format!("{path} cannot be written: services are an administrator's, use sudo"))
}

fn uninstall() -> Result<()> {
    if !Path::new(UNIT_FILE).exists() {
        bail!("{UNIT_FILE} is not there: this command did not install it (a package is removed with apt)");
    }
    call("systemctl", &["disable", "--now", USER])?;
    for file in [UNIT_FILE, PING_FILE] {
        match fs::remove_file(file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{file} cannot be removed"));
            }
            _ => {}
        }
    }
    call("systemctl", &["daemon-reload"])?;
    say("removed; what was measured is still in /var/lib/network-stats");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_starts_this_program_with_these_settings() {
        let unit = |settings: &Settings| unit(Path::new("/opt/my tools/network-stats"), settings).unwrap();
        let plain = unit(&Settings::default());
        assert!(plain.contains("\nExecStart=\"/opt/my tools/network-stats\" serve\n"), "{plain}");
        assert!(!plain.contains("ReadWritePaths") && plain.contains("\nCapabilityBoundingSet=\n"));
        let settings = Settings {
            config: Some("/etc/x%y.ron".into()),
            data_dir: Some("/srv/data".into()),
            listen: Some("[::1]:80".into()),
            ..Settings::default()
        };
        let set = unit(&settings);
        let line = set.lines().find(|line| line.starts_with("ExecStart=")).unwrap();
        assert!(line.ends_with(" serve --config \"/etc/x%%y.ron\" --data-dir /srv/data --listen [::1]:80"), "{line}");
        assert!(set.contains("\nReadWritePaths=/srv/data\n"));
        assert!(quoted(Path::new("a\nb")).is_err());
    }
}
