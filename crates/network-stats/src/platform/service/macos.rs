//! launchd.

use std::fs;

use anyhow::{Context, Result};

use super::{ServiceCommand, call};
use crate::ask::say;
use crate::cli::Settings;
use crate::exit::Usage;

const PLIST: &str = include_str!("../../../packaging/net.network-stats.plist");
const FILE: &str = "/Library/LaunchDaemons/net.network-stats.plist";
const NAME: &str = "system/net.network-stats";

pub(super) fn run(command: ServiceCommand, settings: &Settings) -> Result<()> {
    match command {
        ServiceCommand::Install => install(settings),
        ServiceCommand::Uninstall => {
            let _ = call("launchctl", &["bootout", NAME]);
            fs::remove_file(FILE).with_context(|| format!("{FILE} cannot be removed: use sudo"))?;
            say("removed; what was measured is still in /Library/Application Support/network-stats");
            Ok(())
        }
        ServiceCommand::Start => call("launchctl", &["kickstart", NAME]),
        ServiceCommand::Stop => call("launchctl", &["kill", "SIGTERM", NAME]),
        ServiceCommand::Status => call("launchctl", &["print", NAME]),
        ServiceCommand::Run => Err(Usage("launchd starts `network-stats serve`".to_owned()).into()),
    }
}

fn install(settings: &Settings) -> Result<()> {
    let program = std::env::current_exe().context("where this program is, is not known")?;
    let mut arguments = vec!["serve".to_owned()];
    let paths = [("--config", &settings.config), ("--data-dir", &settings.data_dir)];
    for (flag, path) in paths.into_iter().filter_map(|(flag, path)| Some((flag, path.as_ref()?))) {
        arguments.extend([flag.to_owned(), std::path::absolute(path)?.display().to_string()]);
    }
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let arguments: Vec<String> = arguments.iter().map(|text| format!("<string>{}</string>", escape(text))).collect();
    let plist = PLIST
        .replace("/usr/local/bin/network-stats", &escape(&program.display().to_string()))
        .replace("<string>serve</string>", &arguments.join("\n        "));
    fs::write(FILE, plist).with_context(|| format!("{FILE} cannot be written: use sudo"))?;
    call("launchctl", &["bootstrap", "system", FILE])?;
    say("installed and started");
    Ok(())
}
