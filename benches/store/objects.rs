//! The S3 operations that Litestream and its readers use, over a directory. Bodies come from the file cache of the system,
//! so that the server costs little compared with the programs that are measured.

use crate::distance::{Distance, Kind};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use s3s::dto::*;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use std::fs::{self, File, Metadata};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The buckets: directories below a root.
#[derive(Debug)]
pub struct Objects {
    root: PathBuf,
    distance: Arc<Distance>,
    uploads: AtomicU64,
}

impl Objects {
    /// Serves the directory `root`.
    pub fn new(root: PathBuf, distance: Arc<Distance>) -> Objects {
        Objects { root, distance, uploads: AtomicU64::new(0) }
    }

    fn path(&self, bucket: &str, key: &str) -> PathBuf {
        self.root.join(bucket).join(key)
    }

    fn part(&self, upload: &str, number: i32) -> PathBuf {
        self.root.join(format!(".upload-{upload}-{number}"))
    }

    /// Writes an object under another name first, so that no reader sees a part of it. `create` fails if the object exists.
    fn put(&self, bucket: &str, key: &str, bytes: &[u8], create: bool) -> S3Result<ETag> {
        let path = self.path(bucket, key);
        let written = self.part("whole", self.uploads.fetch_add(1, Ordering::Relaxed) as i32);
        path.parent().map_or(Ok(()), fs::create_dir_all).map_err(s3_error_of)?;
        fs::write(&written, bytes).map_err(s3_error_of)?;
        let put = if create { fs::hard_link(&written, &path) } else { fs::rename(&written, &path) };
        // A rename has removed it.
        let _ = fs::remove_file(&written);
        put.map_err(s3_error_of)?;
        Ok(tag(&fs::metadata(&path).map_err(s3_error_of)?))
    }
}

/// The ETag of an object: its modification time and size, because no object is changed in place.
fn tag(metadata: &Metadata) -> ETag {
    let written = metadata.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    ETag::Strong(format!("{:x}-{:x}", written.unwrap_or_default().as_nanos(), metadata.len()))
}

fn s3_error_of(error: std::io::Error) -> s3s::S3Error {
    match error.kind() {
        ErrorKind::NotFound => s3_error!(NoSuchKey),
        ErrorKind::AlreadyExists => s3_error!(PreconditionFailed),
        _ => s3_error!(error, InternalError),
    }
}

async fn collect(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let mut bytes = BytesMut::new();
    let mut body = body.ok_or_else(|| s3_error!(IncompleteBody))?;
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece.map_err(|_| s3_error!(IncompleteBody))?);
    }
    Ok(bytes.freeze())
}

fn timestamp(metadata: &Metadata) -> Option<Timestamp> {
    metadata.modified().ok().map(Timestamp::from)
}

/// Returns the objects whose keys begin with `prefix`.
fn list(bucket: &Path, prefix: &str) -> S3Result<Vec<(String, Metadata)>> {
    let directory = prefix.rsplit_once('/').map_or("", |(directory, _)| directory);
    let mut found = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries = match bucket.join(&directory).read_dir() {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(s3_error_of(error)),
        };
        for entry in entries {
            let entry = entry.map_err(s3_error_of)?;
            let key = [&directory, &*entry.file_name().to_string_lossy()].join("/").trim_start_matches('/').to_owned();
            let metadata = entry.metadata().map_err(s3_error_of)?;
            if metadata.is_dir() {
                directories.push(key);
            } else if key.starts_with(prefix) {
                found.push((key, metadata));
            }
        }
    }
    found.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(found)
}

#[async_trait]
impl S3 for Objects {
    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let in_progress = self.distance.start_request(Kind::Read).await;
        let input = request.input;
        let mut file = File::open(self.path(&input.bucket, &input.key)).map_err(s3_error_of)?;
        let metadata = file.metadata().map_err(s3_error_of)?;
        let (size, e_tag) = (metadata.len(), tag(&metadata));
        if input
            .if_match
            .is_some_and(|wanted| !matches!(wanted, ETagCondition::ETag(wanted) if e_tag.strong_cmp(&wanted)))
        {
            return Err(s3_error!(PreconditionFailed));
        }
        let range = input.range.map_or(Ok(0..size), |range| range.check(size))?;
        let mut bytes = BytesMut::zeroed((range.end - range.start) as usize);
        file.seek(SeekFrom::Start(range.start)).and_then(|_| file.read_exact(&mut bytes)).map_err(s3_error_of)?;
        let content_range = input.range.map(|_| format!("bytes {}-{}/{size}", range.start, range.end - 1));
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(bytes.len() as i64),
            body: Some(StreamingBlob::wrap(in_progress.respond(bytes.freeze()))),
            content_range,
            e_tag: Some(e_tag),
            last_modified: timestamp(&metadata),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let _in_progress = self.distance.start_request(Kind::Other).await;
        let metadata = fs::metadata(self.path(&request.input.bucket, &request.input.key)).map_err(s3_error_of)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(metadata.len() as i64),
            e_tag: Some(tag(&metadata)),
            last_modified: timestamp(&metadata),
            ..HeadObjectOutput::default()
        }))
    }

    async fn head_bucket(&self, _: S3Request<HeadBucketInput>) -> S3Result<S3Response<HeadBucketOutput>> {
        let _in_progress = self.distance.start_request(Kind::Other).await;
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_bucket_location(
        &self,
        _: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        let _in_progress = self.distance.start_request(Kind::Other).await;
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let _in_progress = self.distance.start_request(Kind::List).await;
        let input = request.input;
        let mut found = list(&self.root.join(&input.bucket), input.prefix.as_deref().unwrap_or_default())?;
        let after = input.continuation_token.as_ref().max(input.start_after.as_ref());
        found.retain(|(key, _)| after.is_none_or(|after| key > after));
        let max_keys = input.max_keys.unwrap_or(1000).clamp(0, 1000);
        let is_truncated = found.len() > max_keys as usize;
        found.truncate(max_keys as usize);
        let next = found.last().filter(|_| is_truncated).map(|(key, _)| key.clone());
        let object = |(key, metadata): (String, Metadata)| Object {
            key: Some(key),
            size: Some(metadata.len() as i64),
            e_tag: Some(tag(&metadata)),
            last_modified: timestamp(&metadata),
            ..Object::default()
        };
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: Some(found.len() as i32),
            contents: Some(found.into_iter().map(object).collect()),
            is_truncated: Some(is_truncated),
            next_continuation_token: next,
            max_keys: Some(max_keys),
            name: Some(input.bucket),
            prefix: input.prefix,
            ..ListObjectsV2Output::default()
        }))
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let _in_progress = self.distance.start_request(Kind::Other).await;
        let input = request.input;
        let create = input.if_none_match.is_some();
        let e_tag = self.put(&input.bucket, &input.key, &collect(input.body).await?, create)?;
        Ok(S3Response::new(PutObjectOutput { e_tag: Some(e_tag), ..PutObjectOutput::default() }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        let _in_progress = self.distance.start_request(Kind::Other).await;
        // To S3, deleting a missing object is not an error.
        let _ = fs::remove_file(self.path(&request.input.bucket, &request.input.key));
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let _in_progress = self.distance.start_request(Kind::Other).await;
        let keys = request.input.delete.objects.into_iter().map(|object| object.key);
        let delete = |key: String| {
            let _ = fs::remove_file(self.path(&request.input.bucket, &key));
            DeletedObject { key: Some(key), ..DeletedObject::default() }
        };
        let deleted = keys.map(delete).collect();
        Ok(S3Response::new(DeleteObjectsOutput { deleted: Some(deleted), ..DeleteObjectsOutput::default() }))
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let _in_progress = self.distance.start_request(Kind::Other).await;
        Ok(S3Response::new(CreateMultipartUploadOutput {
            upload_id: Some(self.uploads.fetch_add(1, Ordering::Relaxed).to_string()),
            bucket: Some(request.input.bucket),
            key: Some(request.input.key),
            ..CreateMultipartUploadOutput::default()
        }))
    }

    async fn upload_part(&self, request: S3Request<UploadPartInput>) -> S3Result<S3Response<UploadPartOutput>> {
        let _in_progress = self.distance.start_request(Kind::Other).await;
        let input = request.input;
        let part = self.part(&input.upload_id, input.part_number);
        fs::write(part, collect(input.body).await?).map_err(s3_error_of)?;
        let e_tag = Some(ETag::Strong(input.part_number.to_string()));
        Ok(S3Response::new(UploadPartOutput { e_tag, ..UploadPartOutput::default() }))
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let _in_progress = self.distance.start_request(Kind::Other).await;
        let input = request.input;
        let mut bytes = Vec::new();
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        for number in parts.into_iter().filter_map(|part| part.part_number) {
            let part = self.part(&input.upload_id, number);
            bytes.extend(fs::read(&part).and_then(|read| fs::remove_file(&part).map(|()| read)).map_err(s3_error_of)?);
        }
        Ok(S3Response::new(CompleteMultipartUploadOutput {
            e_tag: Some(self.put(&input.bucket, &input.key, &bytes, false)?),
            bucket: Some(input.bucket),
            key: Some(input.key),
            ..CompleteMultipartUploadOutput::default()
        }))
    }
}
