//! Signing out at the development issuer, from either side.

use std::convert::Infallible;
use std::sync::Arc;

use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use sekisho_adapters::identity::stand_in::{
    ClientAuth, DevIssuer, IssuerOptions, LogoutRequest, Persona, SignIn, Signature,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use url::Url;

use crate::issuer::{SIGNED_OUT, VERIFIER, authorize, claims, outcome, redeem, registration};
use crate::issuer_clients::Web;
use crate::support::{Bytes, LIMITS, World, clock, get, post_form};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn logout(issuer: &DevIssuer, fields: &[(&str, &str)]) -> String {
    Url::parse_with_params(&format!("{}/logout", issuer.base_url()), fields).unwrap().to_string()
}

#[tokio::test]
async fn a_person_signs_out_by_the_client_and_is_sent_back_only_to_a_registered_address() {
    let world = World::new();
    let web = Web::open(&world).await;
    let token = web.id_token(&[]).await;
    let sign_in =
        SignIn { client_id: "web".to_owned(), sub: "hanako".to_owned(), sid: web.issuer.sign_ins()[0].sid.clone() };
    assert_eq!(web.issuer.sign_ins(), std::slice::from_ref(&sign_in));

    let forged = token.replace('.', ".A");
    let hint = ("id_token_hint", &*token);
    let back = ("post_logout_redirect_uri", SIGNED_OUT);
    let refused: [&[(&str, &str)]; 6] = [
        &[hint, ("post_logout_redirect_uri", "https://evil.example/")],
        &[hint, ("post_logout_redirect_uri", "https://app.example/signed-out/")],
        &[hint, ("client_id", "machine"), back],
        &[("id_token_hint", &forged), ("client_id", "web"), back],
        &[("id_token_hint", ""), ("client_id", "web"), back],
        &[back],
    ];
    for fields in refused {
        let response = get(&web.http, &logout(&web.issuer, fields)).await.unwrap();
        assert_eq!((response.status.as_u16(), response.headers.get("location")), (400, None), "{fields:?}");
    }
    // Without an ID token of ours nobody's sign-in ends.
    let response = get(&web.http, &logout(&web.issuer, &[("client_id", "web"), back])).await.unwrap();
    assert_eq!(response.status, 303);
    assert_eq!(get(&web.http, &logout(&web.issuer, &[])).await.unwrap().status, 200);
    assert_eq!(web.issuer.sign_ins(), [sign_in]);

    let response = get(&web.http, &logout(&web.issuer, &[hint, back, ("state", "a b&c")])).await.unwrap();
    assert_eq!(response.headers["location"], "https://app.example/signed-out?state=a+b%26c");
    assert!(web.issuer.sign_ins().is_empty());

    // By POST too.
    let token = web.id_token(&[]).await;
    let form = [("id_token_hint", &*token), ("client_id", "web"), back];
    let response = post_form(&web.http, &format!("{}/logout", web.issuer.base_url()), &form).await;
    assert_eq!(response.headers["location"], SIGNED_OUT);
    assert!(web.issuer.sign_ins().is_empty());
}

#[tokio::test]
async fn an_id_token_that_is_over_still_signs_out_and_one_by_a_retired_key_does_not() {
    let world = World::new();
    let web = Web::open(&world).await;
    web.issuer.lie(Some(sekisho_adapters::identity::stand_in::Lie::Expired(3600)));
    let over = web.id_token(&[]).await;
    assert_eq!(get(&web.http, &logout(&web.issuer, &[("id_token_hint", &over)])).await.unwrap().status, 200);
    assert!(web.issuer.sign_ins().is_empty());
    let old = web.id_token(&[]).await;
    web.issuer.rotate_keys().unwrap();
    web.issuer.retire_old_keys();
    assert_eq!(get(&web.http, &logout(&web.issuer, &[("id_token_hint", &old)])).await.unwrap().status, 400);
    assert_eq!(web.issuer.sign_ins().len(), 1);
}

#[tokio::test]
async fn logout_tokens_are_what_the_standard_says_and_wrong_ones_are_to_be_had() {
    let world = World::new();
    let web = Web::open(&world).await;
    web.id_token(&[]).await;
    let sign_in = web.issuer.sign_ins().remove(0);
    let token = web.issuer.logout_token(&LogoutRequest::of_sign_in(&sign_in)).unwrap();
    assert_eq!(jsonwebtoken::decode_header(&token).unwrap().typ.unwrap(), "logout+jwt");
    let said = claims(&web.http, &web.issuer, &token, "web").await.unwrap();
    assert_eq!((&said["sub"], &said["sid"]), (&json!("hanako"), &json!(sign_in.sid)));
    assert_eq!(said["events"], json!({ EVENT: {} }));
    assert!(said["jti"].is_string() && said["iat"].is_i64() && said.get("nonce").is_none());
    assert_eq!(said["exp"].as_i64().unwrap() - said["iat"].as_i64().unwrap(), 120);

    let of_person = LogoutRequest::of_person("web", "hanako");
    let token = web.issuer.logout_token(&of_person).unwrap();
    assert!(claims(&web.http, &web.issuer, &token, "web").await.unwrap().get("sid").is_none());

    for wrong in [
        LogoutRequest { ttl_s: -1, ..of_person.clone() },
        LogoutRequest { client_id: "another".to_owned(), ..of_person.clone() },
        LogoutRequest { signature: Signature::Forged, ..of_person.clone() },
        LogoutRequest { signature: Signature::Unpublished, ..of_person.clone() },
        LogoutRequest { signature: Signature::Absent, ..of_person.clone() },
    ] {
        let token = web.issuer.logout_token(&wrong).unwrap();
        assert!(claims(&web.http, &web.issuer, &token, "web").await.is_none(), "{wrong:?}");
    }
    let mut bent = LogoutRequest { typ: "JWT".to_owned(), ..of_person };
    bent.claims = json!({"nonce": "n", "events": null, "jti": null}).as_object().unwrap().clone();
    let token = web.issuer.logout_token(&bent).unwrap();
    assert_eq!(jsonwebtoken::decode_header(&token).unwrap().typ.unwrap(), "JWT");
    let said = claims(&web.http, &web.issuer, &token, "web").await.unwrap();
    assert_eq!((&said["nonce"], said.get("events"), said.get("jti")), (&json!("n"), None, None));
}

/// A client's own server: its address, and the bodies that are posted to it.
async fn listening(world: &World) -> (String, mpsc::Receiver<Bytes>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/told", listener.local_addr().unwrap().port());
    let tls = TlsAcceptor::from(Arc::new(world.tls(None)));
    let (tell, told) = mpsc::channel(8);
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (Ok(stream), tell) = (tls.accept(tcp).await, tell.clone()) else { continue };
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let tell = tell.clone();
                async move {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    tell.send(body).await.unwrap();
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::new())))
                }
            });
            let server = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        }
    });
    (url, told)
}

#[tokio::test]
async fn who_signs_out_at_one_client_is_signed_out_at_the_others_that_ask_to_be_told() {
    let world = World::new();
    let (uri, mut told) = listening(&world).await;
    let mut options = IssuerOptions::new(world.tls(Some(false)), clock());
    options.personas = ["hanako", "taro"].map(|sub| Persona::new(sub, sub)).to_vec();
    let mut listener = registration("listener", ClientAuth::Public);
    listener.backchannel_logout_uri = Some(uri);
    options.clients = vec![registration("pages", ClientAuth::Public), listener];
    options.notices = Some(world.http(None, LIMITS));
    let (issuer, http) = (DevIssuer::start(options).await.unwrap(), world.http(None, LIMITS));
    let mut tokens = Vec::new();
    for (client, sub) in [("listener", "hanako"), ("listener", "taro"), ("pages", "hanako")] {
        let code = outcome(&http, &authorize(&issuer, client, &[("login_hint", Some(sub))]), "code").await.unwrap();
        let (_, body) = redeem(&http, &issuer, client, &code, VERIFIER).await;
        tokens.push(body["id_token"].as_str().unwrap().to_owned());
    }
    let [at_listener, taro, _] = issuer.sign_ins().try_into().unwrap();
    // From the pages: the listener is told of its own sign-in of that person, and of nobody else's.
    get(&http, &logout(&issuer, &[("id_token_hint", &tokens[2])])).await.unwrap();
    assert_eq!(issuer.sign_ins(), [taro]);
    let body = told.try_recv().unwrap();
    let token = form_urlencoded::parse(&body).find(|(name, _)| name == "logout_token").unwrap().1.into_owned();
    let said = claims(&http, &issuer, &token, "listener").await.unwrap();
    assert_eq!(said["sid"], Value::from(at_listener.sid));
    assert!(told.try_recv().is_err());
    // From the listener itself: it knows.
    get(&http, &logout(&issuer, &[("id_token_hint", &tokens[1])])).await.unwrap();
    assert!(issuer.sign_ins().is_empty() && told.try_recv().is_err());
}
