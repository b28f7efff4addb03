//! What programs read before they ask: a CapabilityStatement (FHIR R4) for each base of data routes, SMART App Launch's
//! configuration, and metadata of the protected resource (RFC 9728).
//!
//! Made anew for each who asks, from the configuration in force and from what the issuer publishes. Public: nothing of it is
//! about a person, and sources are not named.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::attested::ATTEST_SCOPE;
use super::consents::PROPOSE_SCOPE;
use super::link_codes;
use super::problem::Problem;
use super::{Answer, Call};
use crate::app::App;
use crate::config::{Config, Form, PurposeFrom, Route, SubjectIn, Summary};
use crate::consent::people::rfc3339;
use crate::request::dpop;
use crate::request::issuer::Published;

/// What a summary is, after the International Patient Summary.
const SUMMARY_OPERATION: &str = "http://hl7.org/fhir/uv/ips/OperationDefinition/summary";
const SECURITY_SERVICE: &str = "http://terminology.hl7.org/CodeSystem/restful-security-service";
const OAUTH_URIS: &str = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris";

/// Whether a request for this path is for a document about one of our bases.
#[must_use]
pub fn is_for_base(app: &App, path: &str) -> bool {
    let of = |end| path.strip_prefix('/').and_then(|rest| rest.strip_suffix(end));
    let base = of("/metadata").or_else(|| of("/.well-known/smart-configuration"));
    base.is_some_and(|base| has_base(&app.config, base))
}

fn has_base(config: &Config, base: &str) -> bool {
    let mut all = config.routes.iter().map(|route| &route.segments);
    all.any(|segments| self::base(segments) == Some(base))
}

/// The base that a path lies under, where that is one segment: what stands before the resource type.
fn base(segments: &[Option<String>]) -> Option<&str> {
    match segments {
        [Some(base), Some(kind), ..] if is_type(kind) && !is_type(base) => Some(base),
        _ => None,
    }
}

fn is_type(segment: &str) -> bool {
    segment.starts_with(|first: char| first.is_ascii_uppercase())
}

/// The issuer that apps are sent to: the first that signs in citizens and parties' users, not staff.
fn issuer(config: &Config) -> Option<&str> {
    config.issuers.iter().find(|issuer| issuer.staff().is_none()).map(|issuer| issuer.url.as_str())
}

pub(super) fn metadata(call: &Call<'_>, base: &str) -> Result<Answer, Problem> {
    let app = call.app;
    if !has_base(&app.config, base) {
        return Err(Problem::not_found());
    }
    let issuer = issuer(&app.config).and_then(|issuer| app.tokens.published(issuer));
    let since = app.since.map(rfc3339).ok_or_else(Problem::not_now)?;
    let statement = statement(&app.config, base, &since, issuer.as_deref());
    Ok(Answer { content_type: "application/fhir+json; charset=utf-8", ..Answer::json(StatusCode::OK, &statement) })
}

fn statement(config: &Config, base: &str, since: &str, issuer: Option<&Published>) -> Value {
    let url = format!("{}/{base}", config.server.url);
    let description = "Sekisho 関所: 健康情報の提供を、本人の同意（または記録された法令の根拠）の範囲に限る中継サーバー / \
        a gateway that releases health data as far as consent or a recorded legal basis goes";
    json!({
        "resourceType": "CapabilityStatement",
        "url": format!("{url}/metadata"),
        "version": env!("CARGO_PKG_VERSION"),
        "name": "Sekisho",
        "title": "Sekisho 関所",
        "status": "active",
        "date": since,
        "description": description,
        "kind": "instance",
        "software": {"name": "Sekisho", "version": env!("CARGO_PKG_VERSION")},
        "implementation": {"description": description, "url": url},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "json"],
        "rest": [{"mode": "server", "security": security(config, issuer), "resource": resources(config, base)}],
    })
}

/// Whether some party's clients come with a key instead of a certificate.
fn has_keys(config: &Config) -> bool {
    config.credentials.iter().any(|party| !party.dpop_clients.is_empty())
}

fn security(config: &Config, issuer: Option<&Published>) -> Value {
    let mut security = json!({
        "cors": config.credentials.iter().any(|party| !party.origins.is_empty()),
        "service": [{"coding": [{"system": SECURITY_SERVICE, "code": "SMART-on-FHIR", "display": "SMART-on-FHIR"}]}],
        "description": "アクセストークン（RFC 9068）は、クライアント証明書に結び付いたもの（RFC 8705）か、登録されたアプリの鍵に結び付いたもの\
            （RFC 9449）だけを受け付けます。 / Access tokens (RFC 9068) that are bound to the client certificate (RFC 8705), or to the \
            key of an app that is registered for it (RFC 9449), and no others.",
    });
    let named = [("authorize", "authorization_endpoint"), ("token", "token_endpoint")];
    let uri = |(name, member)| Some(json!({"url": name, "valueUri": issuer?.endpoint(member)?}));
    let uris: Vec<Value> = named.into_iter().filter_map(uri).collect();
    if !uris.is_empty()
        && let Some(security) = security.as_object_mut()
    {
        security.insert("extension".to_owned(), json!([{"url": OAUTH_URIS, "extension": uris}]));
    }
    security
}

/// What one type can be asked for.
#[derive(Default)]
struct Kind<'a> {
    interactions: BTreeSet<&'static str>,
    parameters: BTreeMap<&'a str, &'static str>,
    operations: BTreeMap<&'a str, &'static str>,
    documentation: Vec<String>,
}

fn resources(config: &Config, base: &str) -> Vec<Value> {
    let mut kinds: BTreeMap<&str, Kind<'_>> = BTreeMap::new();
    let under = |segments: &[Option<String>]| self::base(segments) == Some(base);
    for route in config.routes.iter().filter(|route| route.form != Form::Part && under(&route.segments)) {
        let Some(kind) = kind_of(&route.segments) else { continue };
        let known = kinds.entry(kind).or_default();
        known.interactions.insert(if route.form == Form::Read { "read" } else { "search-type" });
        if let SubjectIn::Query(name) = &route.subject {
            known.parameters.insert(name, "reference");
        }
        known.parameters.extend(route.query.iter().map(|name| (name.as_str(), parameter_type(name))));
        known.documentation.push(of_route(route));
    }
    for summary in config.summaries.iter().filter(|summary| under(&summary.segments)) {
        let (Some(kind), Some(name)) = (kind_of(&summary.segments), operation_of(summary)) else { continue };
        let known = kinds.entry(kind).or_default();
        known.operations.insert(name, SUMMARY_OPERATION);
        known.documentation.push(format!("${name}: purpose {}", purposes(&summary.purpose)));
    }
    kinds.into_iter().map(|(kind, known)| resource(kind, &known)).collect()
}

fn resource(kind: &str, known: &Kind<'_>) -> Value {
    let mut out = Map::new();
    let mut put = |name: &str, values: Vec<Value>| {
        // FHIR forbids an empty array.
        if !values.is_empty() {
            out.insert(name.to_owned(), Value::Array(values));
        }
    };
    put("interaction", known.interactions.iter().map(|code| json!({"code": code})).collect());
    put("searchParam", known.parameters.iter().map(|(n, of)| json!({"name": n, "type": of})).collect());
    put("operation", known.operations.iter().map(|(n, of)| json!({"name": n, "definition": of})).collect());
    if known.interactions.contains("read") {
        out.insert("conditionalRead".to_owned(), json!("not-match"));
    }
    out.insert("type".to_owned(), json!(kind));
    out.insert("versioning".to_owned(), json!("no-version"));
    out.insert("documentation".to_owned(), json!(known.documentation.join("\n")));
    Value::Object(out)
}

/// The resource type in a path: the last segment that is one.
fn kind_of(segments: &[Option<String>]) -> Option<&str> {
    segments.iter().flatten().map(String::as_str).rfind(|segment| is_type(segment))
}

/// The name of the operation that a summary's path ends with.
fn operation_of(summary: &Summary) -> Option<&str> {
    summary.segments.last()?.as_deref()?.strip_prefix('$')
}

fn of_route(route: &Route) -> String {
    format!("{}: scope {}, purpose {}", route.name, route.scope, purposes(&route.purpose))
}

fn purposes(purpose: &PurposeFrom) -> String {
    match purpose {
        PurposeFrom::Route(purpose) => purpose.0.as_str().to_owned(),
        PurposeFrom::Token(all) => {
            let codes: Vec<&str> = all.iter().map(|purpose| purpose.0.as_str()).collect();
            format!("{} (claim `purpose`)", codes.join(" | "))
        }
    }
}

/// What kind of search a parameter is, by FHIR R4's names; the source knows it better, and is not asked.
fn parameter_type(name: &str) -> &'static str {
    match name {
        "date" | "onset-date" | "recorded-date" | "_lastUpdated" => "date",
        "patient" | "subject" => "reference",
        _ => "token",
    }
}

/// SMART App Launch 2.2 §7.2: the issuer's endpoints, under our own scopes.
pub(super) fn smart(call: &Call<'_>, base: Option<&str>) -> Result<Answer, Problem> {
    let config = &call.app.config;
    if base.is_some_and(|base| !has_base(config, base)) {
        return Err(Problem::not_found());
    }
    let issuer = issuer(config).ok_or_else(Problem::not_found)?;
    // Without its discovery document nobody knows where to send an app.
    let published = call.app.tokens.published(issuer).ok_or_else(Problem::not_now)?;
    let mut out = Map::new();
    out.insert("issuer".to_owned(), json!(issuer));
    out.extend(published.members().map(|(name, value)| (name.to_owned(), value.clone())));
    out.insert("scopes_supported".to_owned(), json!(scopes(config)));
    out.insert("code_challenge_methods_supported".to_owned(), json!(["S256"]));
    out.insert("capabilities".to_owned(), json!(capabilities(&published)));
    Ok(Answer::ok(&Value::Object(out)))
}

/// What SMART calls what can be done here. Whatever an app needs of the issuer is listed only where the issuer says so.
fn capabilities(issuer: &Published) -> Vec<&'static str> {
    let methods = "token_endpoint_auth_methods_supported";
    let by_issuer = [
        ("client-confidential-asymmetric", issuer.supports(methods, "private_key_jwt")),
        ("client-public", issuer.supports(methods, "none")),
        ("sso-openid-connect", issuer.supports("scopes_supported", "openid")),
    ];
    let ours = ["launch-standalone", "permission-patient", "permission-user", "permission-v1", "permission-v2"];
    ours.into_iter().chain(by_issuer.into_iter().filter_map(|(name, has)| has.then_some(name))).collect()
}

/// Every scope that something here asks for.
fn scopes(config: &Config) -> BTreeSet<String> {
    let routes = config.routes.iter().filter(|route| route.form != Form::Part);
    let mut all: BTreeSet<String> = routes.map(|route| route.scope.clone()).collect();
    let parts = config.summaries.iter().flat_map(|summary| &summary.parts);
    let categories = parts.flat_map(|part| part.categories.as_slice());
    let covered =
        categories.filter_map(|version| config.registry.category(*version)).flat_map(|category| &category.covers);
    for coverage in covered {
        all.extend(["patient", "user", "system"].map(|context| format!("{context}/{}.r", coverage.resource)));
    }
    all.extend([PROPOSE_SCOPE, ATTEST_SCOPE, link_codes::SCOPE].map(str::to_owned));
    all
}

/// RFC 9728.
pub(super) fn protected_resource(app: &App) -> Answer {
    let config = &app.config;
    let issuers: Vec<&str> = config.issuers.iter().map(|i| i.url.as_str()).collect();
    let mut answer = json!({
        "resource": config.server.url,
        "resource_name": "Sekisho 関所",
        "authorization_servers": issuers,
        "scopes_supported": scopes(config),
        "bearer_methods_supported": ["header"],
        "tls_client_certificate_bound_access_tokens": true,
        "resource_documentation": format!("{}/v1/openapi.json", config.server.url),
    });
    if has_keys(config)
        && let Some(answer) = answer.as_object_mut()
    {
        answer.insert("dpop_signing_alg_values_supported".to_owned(), json!(dpop::ALGORITHMS));
        // A party may come with a certificate instead.
        answer.insert("dpop_bound_access_tokens_required".to_owned(), json!(false));
    }
    Answer::ok(&answer)
}
