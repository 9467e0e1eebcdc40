"""The bank of the reference documents: its catalogue, under the documents' own ids."""

from __future__ import annotations

from typing import Any

TENANT = "my-tenant"

#: Offers of cards, best first, then those that the customers of the documents do not qualify for.
PLATINUM, CASHBACK = "act_platinum_cc", "act_cashback"
EMAIL, FLOW, EXPERIMENT = "ch_email", "df_credit_cards", "exp_cc_cta_test"
PLATINUM_EMAIL, PLATINUM_VARIANT = "treat_platinum_email", "treat_platinum_email_variant_a"

_RATE = "round(base_rate - (customer.credit_score >= 700 ? 1.5 : 0) - customer.loyalty_score / 85, 2)"


def _creative(creative_id: str, offer: str, headline: str, body: str, **fields: Any) -> dict[str, Any]:
    content = {
        "subject": "{{ customer.firstName | Hello }}, " + headline,
        "headline": headline,
        "body": body,
        "ctaText": "Apply Now",
        "ctaUrl": f"https://example.com/apply/{offer}",
    }
    common = {"id": creative_id, "name": headline, "offerId": offer, "channelId": EMAIL, "content": content}
    return {**common, **fields}


CATALOGUE: dict[str, Any] = {
    "categories": [
        {
            "id": "cat_credit_cards",
            "name": "Credit Cards",
            "customFields": [
                {"key": "base_rate", "type": "number", "default": 19.99},
                {"key": "annual_fee", "type": "number", "default": 0},
                {"key": "personalized_rate", "type": "computed", "formula": _RATE, "outputType": "number"},
                {
                    "key": "annual_fee_waiver",
                    "type": "computed",
                    "formula": "annual_fee > 0 && attributes.tier == 'gold'",
                    "outputType": "boolean",
                },
                {
                    "key": "bonus_points",
                    "type": "computed",
                    "formula": "attributes.device == 'mobile' ? 5000 : 1000",
                    "outputType": "number",
                },
            ],
        },
        {"id": "cat_loans", "name": "Loans"},
    ],
    "channels": [{"id": EMAIL, "name": "Email", "type": "email", "impressionTracking": "explicit"}],
    "placements": [{"id": "hero_offer", "name": "Hero offer", "channelId": EMAIL, "maxSlots": 3}],
    "segments": [
        {
            "id": "seg_owners",
            "key": "owners",
            "name": "Home owners",
            "filter": {"field": "customer.owner", "operator": "eq", "value": True},
        }
    ],
    "qualification-rules": [
        {
            "id": "only_owners",
            "name": "Home owners only",
            "kind": "segment_required",
            "scopes": [{"scope": "offer", "id": "act_home_loan"}],
            "config": {"segmentIds": ["seg_owners"]},
        }
    ],
    "offers": [
        {
            "id": PLATINUM,
            "name": "Platinum Rewards Card",
            "categoryId": "cat_credit_cards",
            "priority": 89,
            "fields": {"annual_fee": 95},
        },
        {"id": CASHBACK, "name": "Cash Back Card", "categoryId": "cat_credit_cards", "priority": 74},
        {"id": "act_home_loan", "name": "Home Loan", "categoryId": "cat_loans", "priority": 60},
        {"id": "act_auto_loan", "name": "Auto Loan", "categoryId": "cat_loans", "priority": 40},
    ],
    "creatives": [
        _creative(PLATINUM_EMAIL, PLATINUM, "Platinum Rewards Card", "At {{ personalized_rate }}% APR."),
        _creative(PLATINUM_VARIANT, PLATINUM, "Platinum, today", "At {{ personalized_rate }}% APR."),
        _creative("treat_cashback_email", CASHBACK, "Cash Back Card", "2% cash back."),
        _creative("treat_home_email", "act_home_loan", "Home Loan", "Your own home."),
        _creative("treat_auto_email", "act_auto_loan", "Auto Loan", "Your own car."),
        _creative("creative_001", CASHBACK, "Email Hero V1", "2% cash back.", placementId="hero_offer"),
    ],
    "experiments": [
        {
            "id": EXPERIMENT,
            "key": "cta",
            "status": "active",
            "target": "creative",
            "offerId": PLATINUM,
            "variants": [
                {"key": "control", "weight": 70, "creativeId": PLATINUM_EMAIL},
                {"key": "variant_a", "weight": 30, "creativeId": PLATINUM_VARIANT},
            ],
            "controlVariant": "control",
        }
    ],
    "decision-flows": [{"id": FLOW, "name": "Credit cards", "status": "active", "default": True}],
}
