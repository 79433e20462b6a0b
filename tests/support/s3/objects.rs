//! The objects of the bucket, and the operations on them.

use super::{Manner, chance};
use async_trait::async_trait;
use s3s::dto::*;
use s3s::{S3, S3ErrorCode, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

/// A directory as a bucket, with the features of real servers that `s3s-fs` lacks: If-Match, If-None-Match, ETags in listings, and 403 for
/// missing keys if listings are forbidden.
#[derive(Debug)]
pub(super) struct Objects {
    files: FileSystem,
    root: PathBuf,
    manner: Manner,
    writing: tokio::sync::Mutex<()>,
    tags: Mutex<HashMap<String, KnownTag>>,
}

/// The ETag of an object that had this modification time and length. `s3s-fs` reads the whole object for it.
#[derive(Debug)]
struct KnownTag {
    written: SystemTime,
    length: u64,
    tag: Option<ETag>,
}

impl Objects {
    pub(super) fn new(files: FileSystem, root: &Path, manner: Manner) -> Objects {
        let (writing, tags) = (tokio::sync::Mutex::default(), Mutex::default());
        Objects { files, root: root.to_owned(), manner, writing, tags }
    }

    async fn tag(&self, of: &S3Request<ListObjectsV2Input>, key: &str) -> S3Result<Option<ETag>> {
        let path = self.root.join(&of.input.bucket).join(key);
        let Ok((written, length)) = path.metadata().and_then(|found| Ok((found.modified()?, found.len()))) else {
            return Ok(None);
        };
        let known = |tags: &HashMap<String, KnownTag>| {
            let known = tags.get(key).filter(|known| (known.written, known.length) == (written, length))?;
            Some(known.tag.clone())
        };
        if let Some(tag) = known(&self.tags.lock().expect("no panic while it was locked")) {
            return Ok(tag);
        }
        let tag = self.read_tag(of, key).await?;
        // An object can be replaced again within the resolution of these times.
        if written.elapsed().is_ok_and(|age| age > Duration::from_secs(1)) {
            let known = KnownTag { written, length, tag: tag.clone() };
            self.tags.lock().expect("no panic while it was locked").insert(key.to_owned(), known);
        }
        Ok(tag)
    }

    async fn read_tag(&self, of: &S3Request<ListObjectsV2Input>, key: &str) -> S3Result<Option<ETag>> {
        let request = of.clone().map_input(|input| HeadObjectInput {
            bucket: input.bucket,
            key: key.to_owned(),
            ..HeadObjectInput::default()
        });
        match self.files.head_object(request).await {
            Ok(head) => Ok(head.output.e_tag),
            Err(error) if *error.code() == S3ErrorCode::NoSuchKey => Ok(None),
            Err(error) => Err(error),
        }
    }
}

macro_rules! objects {
    ($($operation:ident: $input:ident => $output:ident,)*) => {
        #[async_trait]
        impl S3 for Objects {
            async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
                let condition = request.input.if_match.clone();
                let response = self.files.get_object(request).await.map_err(|error| match error.code() {
                    S3ErrorCode::NoSuchKey if self.manner.unlistable => s3_error!(AccessDenied, "Access Denied"),
                    _ => error,
                })?;
                match (condition, &response.output.e_tag) {
                    (Some(ETagCondition::ETag(wanted)), Some(there)) if !there.strong_cmp(&wanted) => {
                        Err(s3_error!(PreconditionFailed))
                    }
                    _ => Ok(response),
                }
            }

            async fn put_object(
                &self,
                mut request: S3Request<PutObjectInput>,
            ) -> S3Result<S3Response<PutObjectOutput>> {
                if request.input.if_none_match.take().is_none() || self.manner.unconditional {
                    return self.files.put_object(request).await;
                }
                // One write at a time, so that the condition and the write are one step.
                let _writing = self.writing.lock().await;
                if self.root.join(&request.input.bucket).join(&request.input.key).exists() {
                    return Err(s3_error!(PreconditionFailed));
                }
                let chance = if self.manner.is_faulty { chance() } else { 100 };
                match self.files.put_object(request).await {
                    Ok(_) if self.manner.loses_responses || chance < 5 => Err(s3_error!(InternalError)),
                    // It was carried out twice.
                    Ok(_) if chance < 8 => Err(s3_error!(PreconditionFailed)),
                    stored => stored,
                }
            }

            async fn list_objects_v2(
                &self,
                request: S3Request<ListObjectsV2Input>,
            ) -> S3Result<S3Response<ListObjectsV2Output>> {
                let mut response = self.files.list_objects_v2(request.clone()).await?;
                let tagged = response.output.contents.iter_mut().flatten().filter(|_| !self.manner.untagged);
                for object in tagged {
                    if let Some(key) = &object.key {
                        object.e_tag = self.tag(&request, key).await?;
                    }
                }
                Ok(response)
            }

            $(async fn $operation(&self, request: S3Request<$input>) -> S3Result<S3Response<$output>> {
                self.files.$operation(request).await
            })*
        }
    };
}

// The operations that Litestream and `object_store` use.
objects! {
    abort_multipart_upload: AbortMultipartUploadInput => AbortMultipartUploadOutput,
    complete_multipart_upload: CompleteMultipartUploadInput => CompleteMultipartUploadOutput,
    create_multipart_upload: CreateMultipartUploadInput => CreateMultipartUploadOutput,
    delete_object: DeleteObjectInput => DeleteObjectOutput,
    delete_objects: DeleteObjectsInput => DeleteObjectsOutput,
    get_bucket_location: GetBucketLocationInput => GetBucketLocationOutput,
    head_bucket: HeadBucketInput => HeadBucketOutput,
    head_object: HeadObjectInput => HeadObjectOutput,
    list_objects: ListObjectsInput => ListObjectsOutput,
    upload_part: UploadPartInput => UploadPartOutput,
}
