//! Which files there are, kept up to date by what is new in the stream.
//!
//! There is no listing of a directory, only of the whole bucket, and that has a word of every object that was ever deleted: after a
//! month of a file a second it would be gigabytes. So it is read once, and from then on only what came since. What vanishes without
//! a word, as when somebody purges the stream, shows in the number of its subjects.
//!
//! Reading it all at once is not to be relied on (see [`Messages::next`](super::bucket::Messages::next)), so what came is compared
//! with the subjects that there are. What is new is asked for one by one: each answer is whole.

use super::bucket::NatsObject;
use super::connection::NatsConnection;
use super::error::NatsError;
use crate::ltx::{FileName, Level, Txid};
use crate::store::bounds::check_names;
use crate::store::timeouts::Allowance;
use crate::store::{Listed, Version};
use async_nats::jetstream::stream::Info;
use futures_util::{StreamExt, stream};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// What a bucket holds, as of the last time that somebody asked.
#[derive(Default)]
pub(super) struct Catalog {
    mirror: Mutex<Option<Mirror>>,
}

struct Mirror {
    /// When the bucket was made: one that was made anew has nothing of what was there.
    made: String,
    /// Messages up to this one are known.
    seen: u64,
    /// Not before this moment.
    as_of: Instant,
    objects: HashMap<String, NatsObject>,
    /// Objects that there ever were.
    names: u64,
}

impl Catalog {
    /// The files of a level whose min TXID is at least `from`, in any order.
    pub async fn list(
        &self,
        connection: &NatsConnection,
        level: Level,
        from: Txid,
        allowance: &Allowance,
    ) -> Result<Vec<Listed>, NatsError> {
        let asked = Instant::now();
        let mut mirror = self.mirror.lock().await;
        // Whoever waited while another asked, and asked after he did, has his answer.
        match &*mirror {
            Some(mirror) if mirror.as_of >= asked => {}
            _ => {
                let before = mirror.take();
                *mirror = Some(Mirror::now(connection, before, allowance).await?);
            }
        }
        let objects = mirror.iter().flat_map(|mirror| mirror.objects.values());
        Ok(objects.filter_map(|object| listed(object, level)).filter(|file| file.name.min >= from).collect())
    }
}

impl Mirror {
    /// The bucket as it is now.
    async fn now(
        connection: &NatsConnection,
        before: Option<Mirror>,
        allowance: &Allowance,
    ) -> Result<Mirror, NatsError> {
        let as_of = Instant::now();
        let info = connection.info().await?;
        let before = before.filter(|mirror| mirror.made == made(&info) && mirror.seen <= info.state.last_sequence);
        // Where objects end by themselves they go without a word, and the words of deleted ones go, too.
        let before = before.filter(|_| info.config.max_age == Duration::ZERO);
        if let Some(mut mirror) = before {
            let (mut counted, mut is_near) = (info.state.subjects_count, true);
            if mirror.seen < info.state.last_sequence {
                is_near = mirror.follow(connection, &info).await?;
                counted = connection.info().await?.state.subjects_count;
            }
            // An object that is being written has a subject already, and more are no sign of anything.
            if is_near && counted >= mirror.subjects() {
                return Ok(Mirror { as_of, ..mirror });
            }
        }
        Mirror::whole(connection, &info, as_of, allowance).await
    }

    /// Reads what came after what is known; `info` is from before. False if it is too much to be read one by one.
    async fn follow(&mut self, connection: &NatsConnection, info: &Info) -> Result<bool, NatsError> {
        const AT_MOST: usize = 64;
        for _ in 0..AT_MOST {
            let Some((sequence, object)) = connection.next_told(self.seen + 1).await? else {
                self.seen = self.seen.max(info.state.last_sequence);
                return Ok(true);
            };
            object.into_iter().for_each(|object| self.note(object));
            self.seen = sequence;
        }
        Ok(false)
    }

    /// Reads what is told of each object in one go; `info` is from before. What may be missing in that is asked for one by one.
    async fn whole(
        connection: &NatsConnection,
        info: &Info,
        as_of: Instant,
        allowance: &Allowance,
    ) -> Result<Mirror, NatsError> {
        const AT_ONCE: usize = 32;
        /// About the length of what is told of an object.
        const ENTRY: u64 = 512;
        let seen = info.state.last_sequence;
        let mut mirror = Mirror { made: made(info), seen, as_of, objects: HashMap::new(), names: 0 };
        let mut known = HashSet::new();
        if let Some(last) = connection.last_told().await? {
            let mut messages = connection.objects_from(1).await?;
            while let Some((sequence, object)) = messages.next_object().await? {
                allowance.extend(ENTRY);
                if let Some(object) = object {
                    known.insert(connection.subject(&object.name));
                    check_names(known.len()).map_err(|what| NatsError::nonsense(&what))?;
                    mirror.note(object);
                }
                if sequence >= last {
                    break;
                }
            }
        }
        let subjects = connection.subjects().await?;
        mirror.names = subjects.len() as u64;
        let missing: Vec<String> = subjects.difference(&known).cloned().collect();
        let mut missing = stream::iter(missing).map(|subject| connection.told(subject)).buffer_unordered(AT_ONCE);
        while let Some(object) = missing.next().await {
            object?.into_iter().filter(|object| !object.is_deleted).for_each(|object| {
                mirror.objects.insert(object.name.clone(), object);
            });
        }
        Ok(mirror)
    }

    fn note(&mut self, object: NatsObject) {
        let known = match object.is_deleted {
            true => self.objects.remove(&object.name),
            false => self.objects.insert(object.name.clone(), object),
        };
        if known.is_none() {
            self.names += 1;
        }
    }

    /// How many subjects the stream has at the least: one for the word of each object, one for its bytes.
    fn subjects(&self) -> u64 {
        self.names + self.objects.values().filter(|object| object.pieces > 0).count() as u64
    }
}

fn made(info: &Info) -> String {
    info.created.to_string()
}

fn listed(object: &NatsObject, level: Level) -> Option<Listed> {
    let (at, name) = object.name.strip_prefix("ltx/")?.split_once('/')?;
    let is_here = at.parse() == Ok(level.number());
    let name = FileName::parse(name).filter(|_| is_here)?;
    Some(Listed { level, name, size: object.size, version: Some(version(object)), modified_ms: object.modified_ms })
}

/// Which bytes an object has.
pub(super) fn version(object: &NatsObject) -> Version {
    Version(object.id.as_str().into())
}
