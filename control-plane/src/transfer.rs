//! The commands that work on a database itself, without a control plane: `backup`, `restore` and `migrate-store`. In: which
//! database, which file. Out: how many rows were carried. What a backup holds is said in `store::backup`.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use crate::store::backup::{backup, restore};
use crate::store::sql::Database;

/// What can be done to a database.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Write all that a database holds into a file; a control plane may run on it meanwhile.
    Backup {
        #[command(flatten)]
        from: Place,
        /// The file, which must not be there yet; `-` is stdout.
        file: PathBuf,
    },
    /// Put a backup into a database that holds nothing yet, of either kind.
    Restore {
        #[command(flatten)]
        to: Place,
        /// The file; `-` is stdin.
        file: PathBuf,
    },
    /// Copy all that one database holds into another one: from SQLite to Postgres, or back.
    ///
    /// Stop the control planes first: what they write meanwhile stays behind.
    MigrateStore {
        /// From where: sqlite:PATH or postgres://USER@HOST/NAME.
        from: Database,
        /// To where; it must hold nothing yet.
        to: Database,
    },
}

/// Which database, said as it is said to `serve`.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// Where the embedded database lives.
    #[arg(
        long,
        value_name = "DIR",
        default_value = "signalbox-data",
        env = "SIGNALBOX_DATA_DIR"
    )]
    data_dir: PathBuf,
    /// The database instead of the embedded one: postgres://USER@HOST/NAME or sqlite:PATH.
    #[arg(
        long,
        value_name = "URL",
        env = "SIGNALBOX_DATABASE",
        hide_env_values = true
    )]
    database: Option<Database>,
}

impl Place {
    fn database(self) -> Database {
        let embedded = || Database::Sqlite(self.data_dir.join("signalbox.db"));
        self.database.unwrap_or_else(embedded)
    }
}

/// Carries out a command; returns what to tell of it.
///
/// # Errors
/// A database or a file that cannot be used, or a backup that cannot be read. Then nothing was written to a database.
pub async fn run(command: Command) -> anyhow::Result<String> {
    let rows = match command {
        Command::Backup { from, file } => write(&from.database(), &file).await?,
        Command::Restore { to, file } if file == Path::new("-") => {
            restore(&to.database(), &mut BufReader::new(io::stdin())).await?
        }
        Command::Restore { to, file } => {
            let opened = File::open(&file).with_context(|| file.display().to_string())?;
            restore(&to.database(), &mut BufReader::new(opened)).await?
        }
        Command::MigrateStore { from, to } => {
            // By a file that nobody else sees: neither database waits for the other.
            let mut between = tempfile::tempfile()?;
            let mut out = BufWriter::new(&mut between);
            backup(&from, &mut out).await?;
            out.flush()?;
            drop(out);
            between.rewind()?;
            restore(&to, &mut BufReader::new(between)).await?
        }
    };
    Ok(format!("{rows} rows"))
}

/// A backup that was cut off leaves no file behind that looks like one.
async fn write(database: &Database, file: &Path) -> anyhow::Result<u64> {
    if file == Path::new("-") {
        return Ok(backup(database, &mut BufWriter::new(io::stdout())).await?);
    }
    // It holds everything that is managed: only its owner reads it.
    let opened = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .with_context(|| file.display().to_string())?;
    let mut out = BufWriter::new(opened);
    let written = match backup(database, &mut out).await {
        Ok(rows) => out.get_ref().sync_all().map(|()| rows).map_err(Into::into),
        Err(error) => Err(anyhow::Error::from(error)),
    };
    if written.is_err() {
        // What matters is told already.
        let _ = std::fs::remove_file(file);
    }
    written
}
