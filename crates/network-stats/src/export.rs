//! `network-stats export`: a file from the running product, or from a data folder that no product holds.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use netstats_api::Api;
use netstats_export::Format;
use netstats_inventory::is_reserved;
use tokio::sync::oneshot;

use crate::ask::{escape, running, say};
use crate::cli::ExportArgs;
use crate::client::Client;
use crate::core::Core;
use crate::data_dir::DataDir;
use crate::serve::{quiet_context, random_token};
use crate::settings::Decided;
use crate::trust::Trust;
use crate::{listen, logging};

/// Characters of a file's name that are taken from the jobs' names.
const MAX_NAME_CHARS: usize = 60;

/// Writes the file; nothing half is left behind.
///
/// # Errors
/// The product says no; the file cannot be written; the data folder is another process's.
pub(crate) fn run(decided: &Decided, wanted: &ExportArgs) -> Result<()> {
    let output = wanted.output_file();
    // A product that was killed left its address; who holds the folder is told by its lock alone.
    if decided.data_dir.join("log").is_dir() && !DataDir::is_held(&decided.data_dir) {
        return offline(decided, wanted, &output);
    }
    fetch(&running(decided), wanted, &output)
}

/// Serves the folder's own door to this process alone, without measuring, and asks it.
fn offline(decided: &Decided, wanted: &ExportArgs, output: &Path) -> Result<()> {
    logging::start(&logging::Settings::of("warn"))?;
    let data = DataDir::open_existing(&decided.data_dir)?;
    let core = Core::open(&data, decided.floor)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let listeners = listen::bind(&listen::parse("127.0.0.1:0").map_err(anyhow::Error::msg)?)?;
    let url = listen::url("127.0.0.1:0", &listeners, "http")?;
    let (stop, stopped) = oneshot::channel::<()>();
    let entered = runtime.enter();
    let listeners = listeners.into_iter().map(tokio::net::TcpListener::from_std).collect::<Result<Vec<_>, _>>()?;
    // Whoever may read the folder may ask: where users are known, the door wants to see that.
    let token = random_token()?;
    let mut context = quiet_context(&core);
    context.place_token = Some(token.clone());
    context.signing_key = Some(Arc::new(data.signing_key()?));
    let api = Api::new(context);
    let door = runtime.spawn(api.serve(listeners, async move {
        let _ = stopped.await;
    }));
    drop(entered);
    let outcome = fetch(&Client::new(&url, Some(token), Trust::Nobody), wanted, output);
    let _ = stop.send(());
    let _ = runtime.block_on(door);
    core.close();
    outcome
}

fn fetch(client: &Client, wanted: &ExportArgs, output: &Path) -> Result<()> {
    let part = part_of(output);
    let file = File::create(&part).with_context(|| format!("{} cannot be written", part.display()))?;
    let bar = ProgressBar::new_spinner().with_style(
        ProgressStyle::with_template("{spinner} {bytes} in {elapsed}, {bytes_per_sec}").expect("a constant template"),
    );
    bar.enable_steady_tick(Duration::from_millis(100));
    let mut out = BufWriter::new(file);
    let fetched = client.download(&wanted.address(), |bytes| {
        bar.inc(bytes.len() as u64);
        out.write_all(bytes)
    });
    bar.finish_and_clear();
    let kept = fetched.and_then(|bytes| {
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        netstats_log::rename(&part, output)
            .with_context(|| format!("{} cannot be put in its place", output.display()))?;
        Ok(bytes)
    });
    match kept {
        Ok(bytes) => {
            say(&format!("{}: {bytes} bytes", output.display()));
            Ok(())
        }
        Err(error) => match fs::remove_file(&part) {
            Err(left) if left.kind() != ErrorKind::NotFound => {
                Err(error.context(format!("{} is left behind: {left}", part.display())))
            }
            _ => Err(error),
        },
    }
}

/// Where the file is until it is whole: beside its place, so that putting it there is one step.
fn part_of(output: &Path) -> PathBuf {
    let mut name = output.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    output.with_file_name(name)
}

/// A name that is a file's on every system: of letters, digits, `-` and `_`, not too long, and no device's.
fn plain(name: &str) -> String {
    let is_plain = |it: char| it.is_alphanumeric() || it == '_';
    let plain: String = name.chars().map(|it| if is_plain(it) { it } else { '-' }).take(MAX_NAME_CHARS).collect();
    let plain = plain.trim_matches('-');
    match plain.is_empty() || is_reserved(plain) {
        true => format!("network-stats-{plain}").trim_end_matches('-').to_owned(),
        false => plain.to_owned(),
    }
}

impl ExportArgs {
    fn format(&self) -> String {
        let of_output = || self.output.as_ref()?.extension()?.to_str().map(str::to_ascii_lowercase);
        let format = self.format.clone().or_else(of_output).unwrap_or_else(|| "xlsx".to_owned());
        // A pack is a zip file, and no other of our files is.
        if format == "zip" { "pack".to_owned() } else { format }
    }

    fn extension(&self) -> String {
        Format::from_name(&self.format()).map_or_else(|| self.format(), |format| format.extension().to_owned())
    }

    fn output_file(&self) -> PathBuf {
        let by_default = || PathBuf::from(format!("{}.{}", plain(&self.name()), self.extension()));
        self.output.clone().unwrap_or_else(by_default)
    }

    fn name(&self) -> String {
        if self.jobs.is_empty() { "network-stats".to_owned() } else { self.jobs.join("-") }
    }

    /// The address of the file at the product.
    fn address(&self) -> String {
        let mut address = format!("/api/export?format={}", escape(&self.format()));
        let lists =
            [("job", &self.jobs), ("destination", &self.destinations), ("tag", &self.tags), ("metric", &self.metrics)];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            let list: Vec<String> = list.iter().map(|text| escape(text)).collect();
            address.push_str(&format!("&{name}={}", list.join(",")));
        }
        let texts = [("start_time", &self.from), ("end_time", &self.to), ("tz", &self.tz)];
        for (name, text) in texts.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?))) {
            address.push_str(&format!("&{name}={}", escape(text)));
        }
        if self.excel_csv {
            address.push_str("&separator=semicolon&decimal_comma=true&bom=true");
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_that_of_the_output_unless_it_is_named() {
        let args = |format: Option<&str>, output: Option<&str>| ExportArgs {
            jobs: vec!["my job".into()],
            format: format.map(str::to_owned),
            output: output.map(PathBuf::from),
            ..ExportArgs::default()
        };
        assert_eq!(args(None, None).output_file(), Path::new("my-job.xlsx"));
        assert_eq!(args(Some("csv"), None).output_file(), Path::new("my-job.csv"));
        assert_eq!(args(None, Some("a/b.JSONL")).format(), "jsonl");
        assert_eq!(args(Some("pack"), None).output_file(), Path::new("my-job.zip"));
        assert_eq!(args(None, Some("proof.zip")).format(), "pack");
        assert!(args(None, None).address().starts_with("/api/export?format=xlsx&job=my%20job"));
    }

    #[test]
    fn a_file_that_is_named_after_jobs_has_a_name_on_every_system() {
        for (name, file) in [
            ("CON", "network-stats-CON"),
            ("com1", "network-stats-com1"),
            ("-rf /", "rf"),
            ("../..", "network-stats"),
            ("Zürich 東京", "Zürich-東京"),
            ("a\r\nb=cmd|x", "a--b-cmd-x"),
        ] {
            assert_eq!(plain(name), file, "{name:?}");
        }
        assert_eq!(plain(&"é".repeat(300)).chars().count(), 60);
    }

    #[test]
    fn a_file_in_the_making_is_beside_its_place() {
        let part = part_of(Path::new("/tmp/x/report.xlsx"));
        assert_eq!(part.parent(), Some(Path::new("/tmp/x")));
        assert!(part.to_str().unwrap().ends_with(".part"));
    }
}
