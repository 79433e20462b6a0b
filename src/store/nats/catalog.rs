//! A listing of the bucket, updated from the messages that were written since.
//!
//! A bucket can only be listed as a whole, and a listing includes a marker for every object that Litestream ever deleted: gigabytes after
//! a month with one file per second. So the catalog reads all metadata once, and then only newer messages. Objects that disappear
//! without a message, as those do that this library deletes, show in the number of the stream's subjects. Their metadata is then missing
//! in the list of subjects.
//!
//! Receiving all metadata at once is not reliable (see [`Messages::next`](super::messages::Messages::next)), so the result is compared
//! with the list of subjects. Newer messages are requested one by one, which is reliable.

use super::connection::NatsConnection;
use super::error::NatsError;
use super::object::NatsObject;
use super::subjects::SubjectSet;
use crate::ltx::{Level, Txid};
use crate::store::Listed;
use crate::store::bounds::check_names;
use crate::store::timeouts::Allowance;
use async_nats::jetstream::stream::Info;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::HashMap;
use std::future::ready;
use std::pin::pin;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// About the size of an object's metadata in bytes.
const METADATA_SIZE: u64 = 512;

/// The number of objects whose metadata is requested at the same time.
const CONCURRENT_REQUESTS: usize = 32;

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
    /// The objects that exist.
    by_name: HashMap<String, NatsObject>,
    /// The number of subjects that the stream had when it was last counted, and those that later messages have added. If it has fewer, some
    /// objects have disappeared. It is counted, because bytes of objects that were never completed have subjects as well.
    subjects: u64,
}

impl Catalog {
    /// Returns the files of a level whose min TXID is at least `from`, in any order. Fails if the bucket has too many objects.
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
        if objects.as_ref().is_none_or(|objects| objects.as_of < requested) {
            refresh(&mut objects, connection, allowance).await?;
        }
        let objects = objects.iter().flat_map(|objects| objects.by_name.values());
        Ok(objects.filter_map(|object| object.listed(level)).filter(|file| file.name.min >= from).collect())
    }
}

/// Makes the objects current: updates them if that is possible, else lists the bucket completely.
///
/// After a failure, or if nobody waits any more, they remain what they were or are updated in part, and the next call continues from there.
async fn refresh(
    known: &mut Option<BucketObjects>,
    connection: &NatsConnection,
    allowance: &Allowance,
) -> Result<(), NatsError> {
    let as_of = Instant::now();
    let info = connection.info().await?;
    if let Some(objects) = known
        && objects.are_of(&info)
        && objects.update(connection, &info, allowance).await?
    {
        objects.check()?;
        objects.as_of = as_of;
        return Ok(());
    }
    *known = Some(BucketObjects::load(connection, &info, as_of, allowance).await?);
    Ok(())
}

impl BucketObjects {
    /// Returns true if an update leads from these objects to those of the bucket.
    fn are_of(&self, info: &Info) -> bool {
        // Objects that expire leave no message, and markers of deleted objects expire as well.
        let expire = info.config.max_age != Duration::ZERO;
        !expire && self.created == created(info) && self.sequence <= info.state.last_sequence
    }

    /// Brings the objects up to date; `info` was requested before the call. Returns false if too much has changed.
    async fn update(
        &mut self,
        connection: &NatsConnection,
        info: &Info,
        allowance: &Allowance,
    ) -> Result<bool, NatsError> {
        let mut subjects = info.state.subjects_count;
        if self.sequence < info.state.last_sequence {
            if !self.apply_messages(connection, info, allowance).await? {
                return Ok(false);
            }
            subjects = connection.info().await?.state.subjects_count;
        }
        // An object that is being written already has a subject, so additional subjects mean nothing.
        if subjects < self.subjects {
            self.remove_vanished(connection, allowance).await?;
        }
        Ok(true)
    }

    /// Applies the metadata messages after `sequence`; `info` was requested before the call. Returns false if there are too many to request
    /// them one by one.
    async fn apply_messages(
        &mut self,
        connection: &NatsConnection,
        info: &Info,
        allowance: &Allowance,
    ) -> Result<bool, NatsError> {
        for _ in 0..self.most_requests() {
            let Some((sequence, object)) = connection.next_metadata(self.sequence.saturating_add(1)).await? else {
                self.sequence = self.sequence.max(info.state.last_sequence);
                return Ok(true);
            };
            allowance.extend(METADATA_SIZE);
            object.into_iter().for_each(|object| self.apply(object));
            self.sequence = sequence;
        }
        Ok(false)
    }

    /// Returns the number of messages that are requested one by one. More take longer than a complete listing, which is the longer the more
    /// subjects there are.
    fn most_requests(&self) -> u64 {
        (self.subjects / 64).clamp(64, 1024)
    }

    /// Removes the objects whose metadata disappeared without a message.
    async fn remove_vanished(&mut self, connection: &NatsConnection, allowance: &Allowance) -> Result<(), NatsError> {
        let (count, subjects) = connection.metadata_subjects().await?;
        let (mut present, mut subjects) = (SubjectSet::default(), pin!(subjects));
        while let Some(subject) = subjects.try_next().await? {
            present.insert(&subject)?;
        }
        self.confirm(connection, |subject| !present.contains(subject), allowance).await?;
        self.subjects = count;
        Ok(())
    }

    /// Receives the metadata of all objects at once, then requests one by one what is missing; `info` was requested before the call.
    async fn load(
        connection: &NatsConnection,
        info: &Info,
        as_of: Instant,
        allowance: &Allowance,
    ) -> Result<BucketObjects, NatsError> {
        let (created, sequence) = (created(info), info.state.last_sequence);
        let mut objects = BucketObjects { created, sequence, as_of, by_name: HashMap::new(), subjects: 0 };
        let mut received = objects.receive(connection, allowance).await?;
        let (count, subjects) = connection.metadata_subjects().await?;
        {
            let missing = subjects.try_filter(|subject| ready(!received.remove(subject)));
            let missing = missing.map_ok(|subject| connection.metadata(subject));
            let mut missing = pin!(missing.try_buffer_unordered(CONCURRENT_REQUESTS));
            while let Some(object) = missing.try_next().await? {
                allowance.extend(METADATA_SIZE);
                object.into_iter().for_each(|object| objects.apply(object));
                objects.check()?;
            }
        }
        // What is left was received and is not in the list.
        objects.confirm(connection, |subject| received.contains(subject), allowance).await?;
        objects.subjects = count;
        Ok(objects)
    }

    /// Receives the metadata of all objects, as far as the server sends it. Returns the subjects of what was received.
    async fn receive(&mut self, connection: &NatsConnection, allowance: &Allowance) -> Result<SubjectSet, NatsError> {
        let mut received = SubjectSet::default();
        let Some(last) = connection.last_metadata().await? else { return Ok(received) };
        let mut messages = connection.metadata_from(1).await?;
        while let Some((sequence, object)) = messages.next_object().await? {
            allowance.extend(METADATA_SIZE);
            if let Some(object) = object {
                received.insert(&connection.metadata_subject(&object.name))?;
                self.apply(object);
                self.check()?;
            }
            if sequence >= last {
                break;
            }
        }
        Ok(received)
    }

    /// Requests the metadata of the objects whose subject `is_doubtful`, and removes those that do not exist. The list of subjects alone
    /// does not prove that.
    async fn confirm(
        &mut self,
        connection: &NatsConnection,
        is_doubtful: impl Fn(&str) -> bool,
        allowance: &Allowance,
    ) -> Result<(), NatsError> {
        let doubtful: Vec<String> =
            self.by_name.keys().filter(|name| is_doubtful(&connection.metadata_subject(name))).cloned().collect();
        let found = stream::iter(doubtful).map(|name| async move {
            let object = connection.metadata(connection.metadata_subject(&name)).await;
            (name, object)
        });
        let mut found = pin!(found.buffer_unordered(CONCURRENT_REQUESTS));
        while let Some((name, object)) = found.next().await {
            allowance.extend(METADATA_SIZE);
            match object?.filter(|object| !object.is_deleted) {
                Some(object) => self.by_name.insert(name, object),
                None => self.by_name.remove(&name),
            };
        }
        Ok(())
    }

    /// Applies a message with the metadata of an object. A deleted object only counts as a subject. Subjects of names that existed before
    /// may be counted twice, which only makes the next update count them again.
    fn apply(&mut self, object: NatsObject) {
        let with_bytes = |object: &NatsObject| u64::from(object.pieces > 0);
        let (added, known) = match object.is_deleted {
            true => (0, self.by_name.remove(&object.name)),
            false => (with_bytes(&object), self.by_name.insert(object.name.clone(), object)),
        };
        // An object has a subject for its metadata, and one for its bytes.
        self.subjects += added + u64::from(known.is_none());
        self.subjects = self.subjects.saturating_sub(known.as_ref().map_or(0, with_bytes));
    }

    /// Fails if there are more objects than a replica should have.
    fn check(&self) -> Result<(), NatsError> {
        check_names(self.by_name.len()).map_err(|what| NatsError::invalid_response(&what))
    }
}

fn created(info: &Info) -> String {
    info.created.to_string()
}
