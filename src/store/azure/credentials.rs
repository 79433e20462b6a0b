//! The credentials of an Azure container.

use crate::store::environment::{Environment, Secret};

/// The credentials that requests are signed with.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum AzureCredentials {
    /// None, because the container is public.
    None,
    /// The query of a shared access signature.
    Sas(Secret),
    /// The account's key, in Base64.
    Key(Secret),
    /// The identity of a service principal, a workload or the machine. The environment variables configure how to request a token.
    Identity(Vec<(&'static str, Secret)>),
}

impl AzureCredentials {
    /// Finds credentials in Litestream's order: a shared access signature, a key, an identity. `sas` is the signature in the URL.
    pub fn find(sas: Option<String>, environment: &Environment<'_>) -> Result<AzureCredentials, String> {
        const IDENTITY_VARIABLES: [&str; 7] = [
            "AZURE_TENANT_ID",
            "AZURE_CLIENT_ID",
            "AZURE_CLIENT_SECRET",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_AUTHORITY_HOST",
            "AZURE_MSI_ENDPOINT",
            "AZURE_USE_AZURE_CLI",
        ];
        let sas = match sas {
            None => environment.first(&["LITESTREAM_AZURE_SAS_TOKEN", "AZURE_STORAGE_SAS_TOKEN"])?,
            sas => sas,
        };
        if let Some(sas) = sas {
            return Ok(AzureCredentials::Sas(Secret(sas.trim_start_matches('?').to_owned())));
        }
        let keys = ["LITESTREAM_AZURE_ACCOUNT_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY"];
        if let Some(key) = environment.first(&keys)? {
            return Ok(AzureCredentials::Key(Secret(key)));
        }
        let mut set = Vec::new();
        for name in IDENTITY_VARIABLES {
            set.extend(environment.text(name)?.map(|value| (name, Secret(value))));
        }
        Ok(AzureCredentials::Identity(set))
    }
}
