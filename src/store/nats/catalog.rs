//! A listing of the bucket, updated from the messages that were written since.
//!
//! A bucket can only be listed as a whole, and a listing includes the metadata of every object that was ever deleted: gigabytes after
//! a month with one file per second. So the catalog reads all metadata once, and then only newer messages. Objects that disappear
//! without a message, for example after somebody purged the stream, show in the number of the stream's subjects.
//!
//! Receiving all metadata at once is not reliable (see [`Messages::next`](super::messages::Messages::next)), so the result is compared
//! with the list of subjects. Newer messages are requested one by one, which is reliable.

use super::connection::NatsConnection;
use super::error::NatsError;
use super::object::NatsObject;
use crate::ltx::{Level, Txid};
use crate::store::Listed;
use crate::store::bounds::check_names;
use crate::store::timeouts::Allowance;
use async_nats::jetstream::stream::Info;
use futures_util::{StreamExt, stream};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// The objects of a bucket at the time of the last listing.
#[derive(Default)]
pub(super) struct Catalog {
    objects: Mutex<Option<BucketObjects>>,
}

struct BucketObjects {
    /// When the bucket was created. A bucket that was created again shares nothing with the earlier one.
    created: String,
    /// Sequence number of the last message that is taken into account.
    sequence: u64,
    /// The objects are at least as new as the bucket was at this time.
    as_of: Instant,
    by_name: HashMap<String, NatsObject>,
    /// Number of objects, deleted ones included.
    names: u64,
}

impl Catalog {
    /// Returns the files of a level whose min TXID is at least `from`, in any order.
    pub async fn list(
        &self,
        connection: &NatsConnection,
        level: Level,
        from: Txid,
        allowance: &Allowance,
    ) -> Result<Vec<Listed>, NatsError> {
        let requested = Instant::now();
        let mut objects = self.objects.lock().await;
        // An update that another caller began after this call is new enough.
        match &*objects {
            Some(objects) if objects.as_of >= requested => {}
            _ => {
                let previous = objects.take();
                *objects = Some(BucketObjects::load(connection, previous, allowance).await?);
            }
        }
        let objects = objects.iter().flat_map(|objects| objects.by_name.values());
        Ok(objects.filter_map(|object| object.listed(level)).filter(|file| file.name.min >= from).collect())
    }
}

impl BucketObjects {
    /// Returns the current objects: an update of `previous` if that is possible, else a complete listing.
    async fn load(
        connection: &NatsConnection,
        previous: Option<BucketObjects>,
        allowance: &Allowance,
    ) -> Result<BucketObjects, NatsError> {
        let as_of = Instant::now();
        let info = connection.info().await?;
        let previous = previous
            .filter(|objects| objects.created == created(&info) && objects.sequence <= info.state.last_sequence);
        // Objects that expire leave no message, and the metadata of deleted objects expires as well.
        let previous = previous.filter(|_| info.config.max_age == Duration::ZERO);
        if let Some(mut objects) = previous {
            let (mut subjects, mut is_updated) = (info.state.subjects_count, true);
            if objects.sequence < info.state.last_sequence {
                is_updated = objects.update(connection, &info).await?;
                subjects = connection.info().await?.state.subjects_count;
            }
            // An object that is being written already has a subject, so additional subjects mean nothing.
            if is_updated && subjects >= objects.fewest_subjects() {
                return Ok(BucketObjects { as_of, ..objects });
            }
        }
        BucketObjects::load_all(connection, &info, as_of, allowance).await
    }

    /// Reads the metadata messages after `sequence`; `info` was requested before the call. Returns false if there are too many to
    /// request them one by one.
    async fn update(&mut self, connection: &NatsConnection, info: &Info) -> Result<bool, NatsError> {
        const MOST_REQUESTS: usize = 64;
        for _ in 0..MOST_REQUESTS {
            let Some((sequence, object)) = connection.next_metadata(self.sequence.saturating_add(1)).await? else {
                self.sequence = self.sequence.max(info.state.last_sequence);
                return Ok(true);
            };
            object.into_iter().for_each(|object| self.add(object));
            self.sequence = sequence;
        }
        Ok(false)
    }

    /// Receives the metadata of all objects at once, then requests one by one what is missing; `info` was requested before the call.
    async fn load_all(
        connection: &NatsConnection,
        info: &Info,
        as_of: Instant,
        allowance: &Allowance,
    ) -> Result<BucketObjects, NatsError> {
        const CONCURRENT_REQUESTS: usize = 32;
        /// About the size of an object's metadata in bytes.
        const METADATA_SIZE: u64 = 512;
        let sequence = info.state.last_sequence;
        let mut objects = BucketObjects { created: created(info), sequence, as_of, by_name: HashMap::new(), names: 0 };
        let mut received = HashSet::new();
        if let Some(last) = connection.last_metadata().await? {
            let mut messages = connection.metadata_from(1).await?;
            while let Some((sequence, object)) = messages.next_object().await? {
                allowance.extend(METADATA_SIZE);
                if let Some(object) = object {
                    received.insert(connection.metadata_subject(&object.name));
                    check_names(received.len()).map_err(|what| NatsError::invalid_response(&what))?;
                    objects.add(object);
                }
                if sequence >= last {
                    break;
                }
            }
        }
        let subjects = connection.metadata_subjects().await?;
        objects.names = subjects.len() as u64;
        let missing: Vec<String> = subjects.difference(&received).cloned().collect();
        let missing = stream::iter(missing).map(|subject| connection.metadata(subject));
        let mut missing = missing.buffer_unordered(CONCURRENT_REQUESTS);
        while let Some(object) = missing.next().await {
            object?.into_iter().filter(|object| !object.is_deleted).for_each(|object| {
                objects.by_name.insert(object.name.clone(), object);
            });
        }
        Ok(objects)
    }

    fn add(&mut self, object: NatsObject) {
        let known = match object.is_deleted {
            true => self.by_name.remove(&object.name),
            false => self.by_name.insert(object.name.clone(), object),
        };
        if known.is_none() {
            self.names += 1;
        }
    }

    /// Returns the least number of subjects that the stream can have: one for the metadata of each object, one for its bytes.
    fn fewest_subjects(&self) -> u64 {
        self.names + self.by_name.values().filter(|object| object.pieces > 0).count() as u64
    }
}

fn created(info: &Info) -> String {
    info.created.to_string()
}
