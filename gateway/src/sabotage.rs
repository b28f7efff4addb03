//! Negative controls. A test of a safety check proves something only if it fails when the check is gone: in a build with
//! `--cfg sabotage`, naming a check in `SEKISHO_SABOTAGE` switches it off at run time. In every other build [`off`] is
//! the constant `false`, the variable is never read, and the names below aren't in the binary (shown by a test).

/// A safety check that the sabotage build can switch off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each name says which check it is; the table is in docs/negative-controls.md")]
pub enum Check {
    ClockBehind,
    TokenSignature,
    TokenExpiry,
    TokenNotBefore,
    TokenAudience,
    TokenBinding,
    CertificateParty,
    NormalPath,
    VersionGuard,
    Cut,
    DecideAgain,
    UntilMidStream,
    OtherPeople,
    HiddenTags,
    MyNumber,
    Rewrite,
    SyncBeforeAck,
    SyncError,
    CatchUp,
    HighWater,
    FrameChecksum,
    DirectoryLock,
    MasterKey,
    UniformDenial,
    AskBeforeDecision,
    PortalAccount,
    StepUp,
    OwnGrant,
    LegalBasisHidden,
    HostCheck,
    OperatorPeer,
    IdempotencyKey,
    IdempotencyBody,
    StillLinked,
    IfMatch,
    OutdatedText,
    GuardianAuthority,
    GuardianOfAge,
    GuardianBlocked,
    OwnConsentAge,
    OwnRefusal,
    MayRevoke,
    ShownTo,
    TokenScope,
    TokenType,
    OneAuthorization,
    KeysAge,
    LoginUnique,
    DataDates,
    AllowList,
    SignInOnce,
    BasisReason,
    ReceiptSignature,
    CheckpointSignature,
    CheckpointRoot,
    DestroyAgain,
    VaultMissing,
    VaultOlder,
    NextPage,
    ChunkedCloses,
    CertificateTrusted,
    AdmittedStill,
    OperatorRole,
    RestoreDestroys,
    RestoreSuspends,
    QueueEmpty,
    SparesOthers,
    DenialTime,
    DenialsBound,
    PrunedTold,
    IndexLayout,
    PruneAge,
    PruneKind,
    HeldCurrent,
    ReadAnewErased,
    CsrfToken,
    SessionEnds,
    FormOrigin,
    SignInIssuer,
    SignInStrength,
    RefusalStands,
    PairwiseRetired,
    AdoptionSevers,
    AttestForOthers,
    AttestScope,
    SourceUnique,
    RecordFor,
    ImportOnce,
    AuthorityEvidence,
    AuthorityReturns,
}

/// Whether a check is switched off: never, in a build that is not made for sabotage.
#[cfg(not(sabotage))]
#[inline]
#[must_use]
pub const fn off(_check: Check) -> bool {
    false
}

/// Whether a check is switched off by name in `SEKISHO_SABOTAGE` (comma-separated).
#[cfg(sabotage)]
#[must_use]
pub fn off(check: Check) -> bool {
    use std::sync::LazyLock;
    static OFF: LazyLock<Vec<String>> =
        LazyLock::new(|| std::env::var("SEKISHO_SABOTAGE").unwrap_or_default().split(',').map(str::to_owned).collect());
    let name = format!("{check:?}");
    OFF.contains(&name)
}
