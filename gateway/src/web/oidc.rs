//! openidconnect's types, as this relying party uses them, over our own client.

use std::collections::HashMap;
use std::pin::Pin;

use bytes::Bytes;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreClaimName, CoreClaimType, CoreClientAuthMethod, CoreErrorResponseType,
    CoreGenderClaim, CoreGrantType, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJweKeyManagementAlgorithm,
    CoreJwsSigningAlgorithm, CoreResponseMode, CoreResponseType, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreSubjectIdentifierType, CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AdditionalProviderMetadata, AsyncHttpClient, Client, EmptyExtraTokenFields, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, IdTokenFields, LogoutProviderMetadata, ProviderMetadata, StandardErrorResponse,
    StandardTokenResponse,
};
use sekisho_adapters::http::{HttpClient, HttpError};
use serde::{Deserialize, Serialize};

/// What we read of an ID token beside what openidconnect knows.
#[derive(Clone, Deserialize, Serialize)]
pub struct SessionClaims {
    /// The provider's session.
    pub sid: Option<String>,
    /// All else, of which only the claim of roles is ever looked at, and at an issuer of staff alone.
    #[serde(flatten)]
    others: HashMap<String, serde_json::Value>,
}

/// Roles that are taken from one token, and letters of each, at most.
const ROLES_MAX: (usize, usize) = (50, 200);
/// Letters of a name, at most.
const NAME_MAX: usize = 100;

impl SessionClaims {
    /// The roles that this claim names: a list of texts, or one text.
    #[must_use]
    pub fn roles(&self, claim: &str) -> Vec<String> {
        let one =
            |value: &serde_json::Value| value.as_str().filter(|role| role.len() <= ROLES_MAX.1).map(str::to_owned);
        match self.others.get(claim) {
            Some(serde_json::Value::Array(all)) => all.iter().take(ROLES_MAX.0).filter_map(one).collect(),
            Some(single) => one(single).into_iter().collect(),
            None => Vec::new(),
        }
    }
}

/// The name of a member of staff (OpenID Connect Core 1.0, §5.1), if it is one line that can be shown.
#[must_use]
pub fn one_line(name: &str) -> Option<String> {
    let name = name.trim();
    let good = !name.is_empty() && name.chars().count() <= NAME_MAX && !name.chars().any(char::is_control);
    good.then(|| name.to_owned())
}

impl std::fmt::Debug for SessionClaims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionClaims(..)")
    }
}
impl AdditionalClaims for SessionClaims {}

/// What we read of a discovery document beside what openidconnect knows.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct More {
    /// RFC 9207: it always says who answers.
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}
impl AdditionalProviderMetadata for More {}

/// What a provider publishes.
pub type Metadata = ProviderMetadata<
    LogoutProviderMetadata<More>,
    CoreAuthDisplay,
    CoreClientAuthMethod,
    CoreClaimName,
    CoreClaimType,
    CoreGrantType,
    CoreJweContentEncryptionAlgorithm,
    CoreJweKeyManagementAlgorithm,
    CoreJsonWebKey,
    CoreResponseMode,
    CoreResponseType,
    CoreSubjectIdentifierType,
>;
/// What stands in an ID token.
pub type Fields = IdTokenFields<
    SessionClaims,
    EmptyExtraTokenFields,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm,
>;
/// What the token endpoint gives.
pub type Tokens = StandardTokenResponse<Fields, CoreTokenType>;
/// A client of one provider.
pub type Oidc = Client<
    SessionClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// Our own client, as openidconnect asks for it.
pub struct Http(pub HttpClient);

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Vec<u8>>, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: http::Request<Vec<u8>>) -> Self::Future {
        Box::pin(async move {
            let answer = self.0.send(request.map(Bytes::from)).await?;
            let mut response = http::Response::new(answer.body.to_vec());
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.headers;
            Ok(response)
        })
    }
}
