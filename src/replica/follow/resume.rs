//! The newest view in the cache directory: the next process begins with it.
//!
//! The record names the files of the view, and the directory has their indexes. A process that starts builds the view
//! from them without a request, and then treats it like one that it has followed itself: a listing shows whether the
//! replica still has its history, and only newer files are read. If the replica cannot be reached, the view is served as
//! it is.

use crate::error::{Error, ErrorKind};
use crate::ltx::{FileName, Level, Txid};
use crate::random;
use crate::replica::cache::persistent::{FieldReader, SealedFields, stem};
use crate::replica::files::load_error::LoadError;
use crate::replica::files::loader::FileLoader;
use crate::replica::files::ltx_file::{LoadedFile, LtxFile};
use crate::replica::follow::Follower;
use crate::replica::follow::view_loader::apply;
use crate::replica::view::{Epoch, View, ViewBuilder};
use crate::store::{Listed, Version};
use crate::time::{self, Stamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// How far in the future a record may be, in milliseconds.
const CLOCK_TOLERANCE_MS: i64 = 1000;

/// A view that was built from the cache directory, and when the replica last confirmed it.
#[derive(Clone)]
pub(super) struct ResumedView {
    pub view: Arc<View>,
    confirmed: Option<Stamp>,
}

/// What the record says about a view.
pub(super) struct ViewRecord {
    confirmed_ms: i64,
    /// The number of the history.
    pub lineage: u64,
    time_ms: i64,
    witness: Option<Version>,
    /// In the order in which they are applied.
    pub files: Vec<RecordedFile>,
}

pub(super) struct RecordedFile {
    pub listed: Listed,
    /// The version that listings show, if it is a different one.
    other: Option<Version>,
    checksum: u64,
}

impl Follower {
    /// Writes the record of the newest view, which the replica confirmed at `at`.
    pub(super) fn write_record(&self, at: Stamp) {
        let Some(directory) = self.files.loader.directory() else { return };
        let Some(view) = self.head.view().filter(|view| !view.is_spoiled()) else { return };
        let ago = i64::try_from(at.age().as_millis()).unwrap_or(i64::MAX);
        let lineage = self.lineage_of(view.epoch());
        directory.set_head(&record(&view, time::now_ms().saturating_sub(ago), lineage));
    }

    /// Returns the number of a history in records. A new one is random, so that no other process uses it.
    fn lineage_of(&self, epoch: Epoch) -> u64 {
        let mut lineage = self.lineage.lock();
        match *lineage {
            Some((known, number)) if known == epoch => number,
            _ => lineage.insert((epoch, random::number())).1,
        }
    }

    /// Returns the view that the cache directory has. Reads it once.
    pub(super) async fn resumed(&self) -> Option<ResumedView> {
        let resumed = self.resumed.lock().clone();
        resumed.get_or_init(|| self.read_record()).await.clone()
    }

    /// Drops that view, because there is another one.
    pub(super) fn forget_resumed(&self) {
        *self.resumed.lock() = Arc::new(OnceCell::new_with(Some(None)));
    }

    async fn read_record(&self) -> Option<ResumedView> {
        // What is not verified must not be served.
        let loader = self.files.loader.offline().filter(|_| !self.files.loader.verifies_all())?;
        let bytes = loader.directory()?.head()?;
        let record = ViewRecord::parse(FieldReader::open(&bytes)?)?;
        let confirmed = Stamp::of_age(record.age());
        let lineage = record.lineage;
        match self.build_recorded(&loader, record).await {
            Ok(view) => {
                let view = Arc::new(view?);
                *self.lineage.lock() = Some((view.epoch(), lineage));
                Some(ResumedView { view, confirmed })
            }
            Err(error) => {
                tracing::debug!("the cache directory lacks a file of its view: {error:?}");
                None
            }
        }
    }

    async fn build_recorded(&self, loader: &FileLoader, record: ViewRecord) -> Result<Option<View>, LoadError> {
        let mut builder = ViewBuilder::default();
        for file in &record.files {
            let mut loaded = load(loader, file).await?;
            if loaded.file.checksum != file.checksum {
                return Ok(None);
            }
            apply(loader, &mut builder, &mut loaded).await?;
        }
        let Some(last) = record.files.last().map(|last| last.listed.name.max) else { return Ok(None) };
        let name = FileName::of(last);
        let witness = Listed { level: Level::ZERO, name, size: 0, version: record.witness, modified_ms: 0 };
        builder.set_witness_from(&[witness]);
        builder.limit_time(record.time_ms);
        Ok(builder.finish(self.histories.epochs.begin(), None).ok())
    }

    /// Serves the view of the cache directory, if there is no other and `cause` says that the replica cannot be reached.
    pub(super) async fn serve_resumed(&self, cause: Option<&Error>) {
        let is_unreachable = cause.is_none_or(|cause| cause.kind() == ErrorKind::Unreachable);
        if let Some(resumed) = self.resumed().await.filter(|_| is_unreachable && self.head.view().is_none()) {
            tracing::warn!("{} cannot be reached: the state in the cache directory is served", self.files.store);
            self.health.set_unreached();
            self.head.publish(None, resumed.view);
            if let Some(confirmed) = resumed.confirmed {
                self.head.confirm(confirmed);
            }
        }
    }
}

pub(super) async fn load(loader: &FileLoader, file: &RecordedFile) -> Result<LoadedFile, LoadError> {
    match (loader.read(&file.listed).await, &file.other) {
        (Err(_), Some(other)) => loader.read(&Listed { version: Some(other.clone()), ..file.listed.clone() }).await,
        (loaded, _) => loaded,
    }
}

/// Returns the record of a view that was confirmed at this time, in milliseconds since 1970.
fn record(view: &View, confirmed_ms: i64, lineage: u64) -> SealedFields {
    let mut files: Vec<&Arc<LtxFile>> = view.files().collect();
    if !files.iter().any(|file| file.number == view.tip().number) {
        files.push(view.tip());
    }
    files.sort_unstable_by_key(|file| file.name.max);
    let stems: Vec<String> = files.iter().map(|file| stem(file.level, file.name)).collect();
    let mut fields = SealedFields::default();
    fields.text(&stems.join("\n")).number(confirmed_ms as u64).number(view.time_ms() as u64);
    fields.number(lineage);
    put_version(&mut fields, view.witness());
    fields.number(files.len() as u64);
    for file in files {
        fields.number(file.level.number().into()).number(file.name.min.0).number(file.name.max.0);
        fields.number(file.size).number(file.checksum);
        put_version(&mut fields, Some(&file.version));
        put_version(&mut fields, file.listed.lock().as_ref());
    }
    fields
}

/// An absent version is written as an empty text.
fn put_version(fields: &mut SealedFields, version: Option<&Version>) {
    fields.text(version.map_or("", |version| &version.0));
}

fn take_version(fields: &mut FieldReader<'_>) -> Option<Option<Version>> {
    let text = fields.text()?;
    Some((!text.is_empty()).then(|| Version(text.into())))
}

impl ViewRecord {
    pub(super) fn parse(mut fields: FieldReader<'_>) -> Option<ViewRecord> {
        let _stems = fields.text()?;
        let (confirmed_ms, time_ms) = (fields.number()? as i64, fields.number()? as i64);
        let lineage = fields.number()?;
        let witness = take_version(&mut fields)?;
        let mut files = Vec::new();
        for _ in 0..fields.number()? {
            let level = Level::new(u8::try_from(fields.number()?).ok()?)?;
            let name = FileName { min: Txid(fields.number()?), max: Txid(fields.number()?) };
            let (size, checksum) = (fields.number()?, fields.number()?);
            let (version, other) = (take_version(&mut fields)?, take_version(&mut fields)?);
            files.push(RecordedFile { listed: Listed { level, name, size, version, modified_ms: 0 }, other, checksum });
        }
        Some(ViewRecord { confirmed_ms, lineage, time_ms, witness, files })
    }

    /// Returns the time since the replica confirmed the view, by the clock of this machine. If that was set back since, the time is unknown,
    /// which counts as the longest.
    pub(super) fn age(&self) -> Duration {
        match time::now_ms().saturating_sub(self.confirmed_ms) {
            ago if ago < -CLOCK_TOLERANCE_MS => Duration::MAX,
            ago => Duration::from_millis(u64::try_from(ago).unwrap_or(0)),
        }
    }

    /// Returns the last transaction of the view.
    pub(super) fn end(&self) -> Option<Txid> {
        self.files.last().map(|last| last.listed.name.max)
    }

    /// Returns whether a file with this content belongs to the view.
    pub(super) fn has(&self, file: &LtxFile) -> bool {
        let same = |own: &RecordedFile| {
            (own.listed.level, own.listed.name, own.checksum) == (file.level, file.name, file.checksum)
        };
        self.files.iter().any(same)
    }
}
