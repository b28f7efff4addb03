//! `sekisho check`: every problem of a configuration at once, with its line.

use sekisho::config::Config;
use sekisho_tests::town::Town;

#[tokio::test(flavor = "multi_thread")]
async fn every_problem_is_reported_at_once_with_its_line() {
    let town = Town::open().await;
    let good = std::fs::read_to_string(&town.world.config).unwrap();
    let bent = good
        .replace("listen = ", "lissten = ")
        .replace("certificate = \"server.pem\"", "certificate = \"nowhere.pem\"")
        .replace("kind = \"clinic\"", "kind = \"hospital\"")
        .replacen("purpose = \"phr-view\"", "purpose = \"nothing\"", 1)
        .replacen("categories = [\"vaccination@1\"]", "categories = [\"vaccination@9\"]", 1)
        .replace("longest_days = 92", "longest_days = \"long\"")
        .replace("scope = \"patient/Patient.r\"\n", "");
    let problems = Config::parse(&bent, &town.world.config).unwrap_err();
    let lines: Vec<&str> = bent.lines().collect();
    let line_of = |needle: &str| 1 + lines.iter().position(|l| l.contains(needle)).unwrap();
    for (needle, said) in [
        ("lissten", "`lissten` is not known"),
        ("nowhere.pem", "nowhere.pem, which cannot be read"),
        ("hospital", "but must be one of phr-app"),
        ("purpose = \"nothing\"", "a registered purpose"),
        ("vaccination@9", "not a registered version"),
        ("longest_days = \"long\"", "a whole number"),
    ] {
        let found = problems.iter().find(|p| p.message.contains(said));
        let found = found.unwrap_or_else(|| panic!("nothing said {said}: {problems:#?}"));
        assert_eq!(found.line, line_of(needle), "{said}");
    }
    assert!(problems.iter().any(|p| p.message.contains("`listen` is missing")), "{problems:#?}");
    assert!(problems.iter().any(|p| p.message.contains("`scope` is missing")), "{problems:#?}");
    assert!(Config::parse(&good, &town.world.config).is_ok());
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_that_one_request_could_match_both_are_a_mistake() {
    let town = Town::open().await;
    let good = std::fs::read_to_string(&town.world.config).unwrap();
    let bent = good.replace("path = \"/first-visit/Immunization\"", "path = \"/fhir/Immunization\"");
    let problems = Config::parse(&bent, &town.world.config).unwrap_err();
    assert!(problems.iter().any(|p| p.message.contains("overlap")), "{problems:#?}");
    let shared = good.replace("clients = [\"midori-emr\"]", "clients = [\"yotsuba-app\"]");
    let problems = Config::parse(&shared, &town.world.config).unwrap_err();
    assert!(problems.iter().any(|p| p.message.contains("must be one party's")), "{problems:#?}");
    let own = good.replace("clients = [\"midori-emr\"]", "clients = [\"sekisho-pages\"]");
    assert!(Config::parse(&own, &town.world.config).is_err(), "our own client is no party's");
    let broken = Config::parse("[server\nx", &town.world.config).unwrap_err();
    assert!(broken.iter().any(|p| p.line == 1), "{broken:#?}");
    town.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn staff_sign_in_for_one_registered_party_that_has_a_counter() {
    let town = Town::open().await;
    let good = std::fs::read_to_string(&town.world.config).unwrap();
    let citizens = format!("url = \"{}\"", town.world.issuer.base_url());
    let staff = format!("url = \"{}\"", town.world.staff.base_url());
    let roles = "counter_roles = [\"counter\", \"registrar\"]";
    let nurses =
        "enrol_roles = [\"registrar\"]\nnurse_roles = [\"public-health-nurse\"]\nmanager_roles = [\"nurse-manager\"]\n";
    let all = format!("{roles}\n{nurses}");
    for (from, to, says) in [
        ("party = \"fuchu-city\"\nrole_claim", "party = \"nobody\"\nrole_claim", "a registered municipality or clinic"),
        (
            "party = \"fuchu-city\"\nrole_claim",
            "party = \"yotsuba-phr\"\nrole_claim",
            "a registered municipality or clinic",
        ),
        ("role_claim = \"roles\"\n", "", "`role_claim` is missing"),
        (all.as_str(), "", "`counter_roles` is missing or empty"),
        (
            "viewer_roles = [\"doctor\", \"nurse\"]",
            "viewer_roles = [\"doctor\"]\nnurse_roles = [\"nurse\"]",
            "for a party of the kind municipality alone",
        ),
        (roles, "counter_roles = [\"counter\"]", "not among `counter_roles`"),
        ("code = \"fuchu-staff\"", "code = \"dev\"", "`code` dev stands twice"),
        (staff.as_str(), citizens.as_str(), "stands twice: one issuer is described once"),
    ] {
        assert!(good.contains(from), "{from}");
        let problems = Config::parse(&good.replacen(from, to, 1), &town.world.config).unwrap_err();
        assert!(problems.iter().any(|p| p.message.contains(says)), "{says}: {problems:#?}");
    }
    town.gateway.stop().await;
}
