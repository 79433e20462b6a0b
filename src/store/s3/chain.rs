//! The search for S3 credentials: the order of Amazon's own tools.

use super::credentials::S3Credentials;
use super::profile;
use crate::store::environment::{Environment, Secret};

/// The variable for the address of the instance metadata service, as `object_store` calls it.
const METADATA: &str = "AWS_METADATA_ENDPOINT";

/// Variables that configure how the keys of a role are requested.
const ROLE_VARIABLES: [&str; 9] = [
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL_STS",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    METADATA,
    "AWS_IMDSV1_FALLBACK",
];

/// Finds credentials: keys in the environment, a web identity, a profile, a container, and last the instance.
///
/// Also returns the region of the profile, if the search came to it.
pub(super) fn find(environment: &Environment<'_>) -> Result<(S3Credentials, Option<String>), String> {
    if let Some(keys) = keys(environment)? {
        return Ok((keys, None));
    }
    if environment.raw("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
        return Ok((role(environment)?, None));
    }
    let (region, credentials) = profile::read(environment)?;
    Ok((credentials.map_or_else(|| role(environment), Ok)?, region))
}

/// Returns the keys in the environment. An ID and a secret of different families of variables are never combined.
///
/// Fails if one half of a pair is missing and there is no complete pair.
fn keys(environment: &Environment<'_>) -> Result<Option<S3Credentials>, String> {
    let mut half = None;
    for family in ["AWS", "LITESTREAM"] {
        let name = |rest: &str| format!("{family}_{rest}");
        let read = |rest: &str| Ok::<_, String>(environment.text(&name(rest))?.map(Secret));
        match (read("ACCESS_KEY_ID")?, read("SECRET_ACCESS_KEY")?) {
            (Some(id), Some(secret)) => {
                return Ok(Some(S3Credentials::Static { id, secret, token: read("SESSION_TOKEN")? }));
            }
            (None, None) => {}
            (Some(_), None) => half = half.or(Some([name("ACCESS_KEY_ID"), name("SECRET_ACCESS_KEY")])),
            (None, Some(_)) => half = half.or(Some([name("SECRET_ACCESS_KEY"), name("ACCESS_KEY_ID")])),
        }
    }
    match half {
        Some([set, unset]) => Err(format!("{set} is set but {unset} is not; set both or neither")),
        None => Ok(None),
    }
}

/// Returns the credentials of a role: of a web identity, a container or the instance.
fn role(environment: &Environment<'_>) -> Result<S3Credentials, String> {
    let mut set = Vec::new();
    for name in ROLE_VARIABLES {
        set.extend(environment.text(name)?.map(|value| (name, Secret(value))));
    }
    if let Some(endpoint) = environment.text("AWS_EC2_METADATA_SERVICE_ENDPOINT")? {
        set.retain(|(name, _)| *name != METADATA);
        set.push((METADATA, Secret(endpoint.trim_end_matches('/').to_owned())));
    }
    let is_set = |name: &str| set.iter().any(|(set, _)| *set == name);
    for (one, other) in [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
    ] {
        if is_set(one) && !is_set(other) {
            return Err(format!("{one} is set but {other} is not; set both or neither"));
        }
    }
    let without_instance =
        ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    let instance_is_off =
        environment.text("AWS_EC2_METADATA_DISABLED")?.is_some_and(|off| off.eq_ignore_ascii_case("true"));
    match instance_is_off && !without_instance.into_iter().any(is_set) {
        true => Err("there are no credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, and \
                     AWS_EC2_METADATA_DISABLED excludes the instance; set them, or anonymous=true for a public bucket"
            .to_owned()),
        false => Ok(S3Credentials::Role(set)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn find_with(variables: &[(&str, &str)]) -> Result<(S3Credentials, Option<String>), String> {
        let variable = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| OsString::from(value));
        find(&Environment(&variable))
    }

    fn secret(text: &str) -> Secret {
        Secret(text.to_owned())
    }

    #[test]
    fn keys_come_in_pairs() {
        let of = |variables: &[(&str, &str)]| find_with(variables).map(|(credentials, _)| credentials);
        let (id, key, token) = (("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_SESSION_TOKEN", "c"));
        let other = [("LITESTREAM_ACCESS_KEY_ID", "x"), ("LITESTREAM_SECRET_ACCESS_KEY", "y")];
        let first = |token| Ok(S3Credentials::Static { id: secret("a"), secret: secret("b"), token });
        let second = || Ok(S3Credentials::Static { id: secret("x"), secret: secret("y"), token: None });
        assert_eq!(of(&[id, key, other[0], other[1]]), first(None));
        assert_eq!(of(&[id, key, token]), first(Some(secret("c"))));
        assert_eq!(of(&[other[0], other[1], token]), second());
        assert_eq!(of(&[id, other[0], other[1]]), second());
        let error = of(&[id, other[1]]).expect_err("two halves");
        assert!(error.starts_with("AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not"), "{error}");
        let role = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/role");
        assert_eq!(of(&[role]), Ok(S3Credentials::Role(vec![(role.0, secret("/role"))])));
    }

    #[test]
    fn a_role_is_configured_by_variables_and_half_a_setting_is_refused() {
        let of = |variables: &[(&str, &str)]| find_with(variables).map(|(credentials, _)| credentials);
        let role_at = |endpoint: &str| Ok(S3Credentials::Role(vec![(METADATA, secret(endpoint))]));
        let amazons = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://[fd00:ec2::254]/");
        assert_eq!(of(&[amazons]), role_at("http://[fd00:ec2::254]"));
        assert_eq!(of(&[(METADATA, "http://other")]), role_at("http://other"));
        assert_eq!(of(&[(METADATA, "http://other"), amazons]), role_at("http://[fd00:ec2::254]"));
        let off = ("AWS_EC2_METADATA_DISABLED", "True");
        let (uri, file) =
            (("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://x"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "t"));
        assert_eq!(
            of(&[uri, file, off]),
            Ok(S3Credentials::Role(vec![(uri.0, secret(uri.1)), (file.0, secret(file.1))]))
        );
        for (variables, expected) in [
            (&[off][..], "there are no credentials: AWS_ACCESS_KEY_ID and"),
            (&[uri], "AWS_CONTAINER_CREDENTIALS_FULL_URI is set but AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE is not"),
            (
                &[("AWS_WEB_IDENTITY_TOKEN_FILE", "t")],
                "AWS_WEB_IDENTITY_TOKEN_FILE is set but AWS_ROLE_ARN is not; set both or neither",
            ),
        ] {
            let text = of(variables).expect_err(expected);
            assert!(text.starts_with(expected), "{text}");
        }
    }

    #[test]
    fn the_order_is_keys_web_identity_profile_container() {
        let home = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(home.path().join(".aws")).expect("a directory");
        let lines = "[default]\naws_access_key_id = p\naws_secret_access_key = q\nregion = mars\n[profile bare]\n";
        std::fs::write(home.path().join(".aws/config"), lines).expect("a file");
        let home = [("HOME", home.path().to_str().expect("text"))];
        let of = |variables: &[&[(&str, &str)]]| {
            let variables = [&[home[0]][..], &variables.concat()].concat();
            let (credentials, region) = find_with(&variables).expect("credentials");
            let kind = match credentials {
                S3Credentials::Static { id, .. } => id.0,
                S3Credentials::Role(variables) => variables[0].0.to_owned(),
                other => panic!("{other:?}"),
            };
            (kind, region)
        };
        let expect = |kind: &str, region: Option<&str>| (kind.to_owned(), region.map(str::to_owned));
        let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
        let identity = [("AWS_WEB_IDENTITY_TOKEN_FILE", "t"), ("AWS_ROLE_ARN", "r")];
        let container = [("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/task")];
        assert_eq!(of(&[&keys, &identity, &container]), expect("a", None));
        assert_eq!(of(&[&identity, &container]), expect(identity[0].0, None));
        assert_eq!(of(&[&container]), expect("p", Some("mars")));
        assert_eq!(of(&[&container, &[("AWS_PROFILE", "bare")]]), expect(container[0].0, None));
        assert_eq!(of(&[&container, &[("AWS_CONFIG_FILE", "/nowhere")]]), expect(container[0].0, None));
    }
}
