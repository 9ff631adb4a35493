"""What every Chromium that we set up is told by policy, whatever it is for."""

from __future__ import annotations

BLOCK = 2
"""Chromium's content settings: 1 allows, 2 refuses, 3 asks."""
QUIET: dict[str, object] = {
    "AutofillAddressEnabled": False,
    "AutofillCreditCardEnabled": False,
    "BackgroundModeEnabled": False,
    "BrowserSignin": 0,
    "ComponentUpdatesEnabled": False,
    "DefaultBrowserSettingEnabled": False,
    "DnsOverHttpsMode": "off",
    "DomainReliabilityAllowed": False,
    "MetricsReportingEnabled": False,
    "NetworkPredictionOptions": BLOCK,
    "PromotionsEnabled": False,
    "SafeBrowsingSurveysEnabled": False,
    "FeedbackSurveysEnabled": False,
    "SearchSuggestEnabled": False,
    "SpellCheckServiceEnabled": False,
    "SyncDisabled": True,
    "TranslateEnabled": False,
    "UrlKeyedAnonymizedDataCollectionEnabled": False,
    "UserFeedbackAllowed": False,
}
"""Nothing is told to the makers, and what is new comes as a package."""
STRICT: dict[str, object] = {
    "BlockExternalExtensions": True,
    "DefaultClipboardSetting": BLOCK,
    "DefaultGeolocationSetting": BLOCK,
    "DefaultInsecureContentSetting": BLOCK,
    "DefaultNotificationsSetting": BLOCK,
    "DefaultPopupsSetting": BLOCK,
    "DefaultSerialGuardSetting": BLOCK,
    "DefaultWebBluetoothGuardSetting": BLOCK,
    "DefaultWebHidGuardSetting": BLOCK,
    "DefaultWebUsbGuardSetting": BLOCK,
    "ExtensionInstallBlocklist": ["*"],
    "LocalNetworkAccessBlockedForUrls": ["*"],
    "SSLErrorOverrideAllowed": False,
}
"""No site may what it does not need, no certificate is waved through, no extension comes from anywhere."""
