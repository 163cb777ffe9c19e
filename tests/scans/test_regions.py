import pytest

from radnet.scans.regions import RegionMatch, body_region_of, regions_in
from radnet.scans.scan import REGIONS

ONE_REGION = {
    "head_neck": """
        HEAD; Kopf; Schädel nativ; SCHAEDEL; Schadel; cCT; CCT nativ; NNH; CT_NNH_axial; Felsenbein bds.;
        FELSENBEIN; Hals KM; HALS; CTA Carotis; Gesichtsschädel; Neck w/ contrast; NECK; SKULL; SINUS;
        Nasennebenhöhlen; NASENNEBENHOEHLEN; Orbita re; brain 5mm; BRAIN; Head 5.0 H31s; Temporal bone left;
        Angio Circle of Willis; Kopf^01_Schaedel_Routine (Adult); Mittelgesicht; Halsweichteile; Zähne; Kiefer;
        HeadRoutine; ORBIT; EAR; headNeck; Base of skull; Schädel-Hirn; JAW; Hirngefäße; THYROID
    """,
    "thorax": """
        CHEST; Thorax; THORAX KM 5.0 B31f; CT Thorax nativ; Lunge 1.0 B70s; HELICAL CHEST; ThoraxRoutine;
        Lungenembolie; CTPA; Pulmonary embolism; Herz; Koronar-CTA; CoronaryCTA; Cardiac^CaScore; HEART;
        Mediastinum; Brustwand li; Thoraxwand; Rippen rechts; Sternum; thoracic aorta; Thorakale Aorta; BREAST;
        ThoraxCT; CTThorax; LUNG; Low dose lung screening; Thorax Arme hoch; chest, arms up; Chest wall; TAVI;
        HRCT; Thorax Knochenfenster; RIB; STERNUM; Chest feet first; Ösophagus; OESOPHAGUS
    """,
    "abdomen": """
        ABDOMEN; Abdomen venös; Abd. nativ; Oberbauch; OBERBAUCH KM; Leber 3-phasig; LIVER; Nieren; NIERE;
        Pankreas; PANCREAS; KIDNEY; kidneys; Darm; DARM nativ; Dünndarm; DUENNDARM; Kolon; CT Colonography;
        Nierensteine; KUB; Bauch; ABDOMEN_5mm_PV; AbdRoutine; Milz; Nebenniere; ABDOMINAL; abdominal aorta;
        GALLBLADDER; Pancreatic head; renal pelvis; Gallenwege; CT Urographie; Abdomens; Abdomen lung window;
        adrenal; SPLEEN; mesenteric ischemia
    """,
    "extremities": """
        EXTREMITY; HAND; Hand re; hands; Hände; HAENDE; Arm links; ARM; Oberarm; Unterarm; Knie; KNIE RE; KNEE;
        Kniegelenk; Fuß; FUSS; Füße; Fuesse; FOOT; feet; Oberschenkel; Unterschenkel rechts; Sprunggelenk; OSG;
        ANKLE; SHOULDER; Schulter; Schultergelenk re; Ellenbogen; ELBOW; WRIST; Handgelenk; Handwurzel;
        Tibiakopf; FEMUR; CALCANEUS; Fersenbein; Schlüsselbein; LEG; Bein; Beine; Finger; Zehen; CLAVICLE; lower
        leg; Humeruskopf; humeral head; Kahnbein; right arm; FINGER; lower extremity; THUMB; TOE
    """,
    "hip_pelvis": """
        PELVIS; Becken; BECKEN nativ; Becken Übersicht; HIP; Hüfte re; HUEFTE; Hufte; Hüftgelenk; Hips;
        Acetabulum; ISG; SI joints; Femoral neck; Schenkelhals; Hüftkopf; Harnblase; BLADDER; Prostata;
        PROSTATE; Beckenring; pelvic fracture; Beckens; Femoral head left; UTERUS; CERVIX; Leiste
    """,
    "spine": """
        SPINE; HWS; BWS; LWS nativ; HWS_1.0_B60s; Wirbelsäule; WIRBELSAEULE; Halswirbelsäule; Brustwirbelsäule;
        Lendenwirbelsäule; CSPINE; TSPINE; LSPINE; SSPINE; C-Spine; cervical spine; Thoracic spine; thoracic and
        lumbar spine; Thorakale Wirbelsäule; Spine, thoracic; LWK1; LWK 3-5; Lumbar; lumbal; Kreuzbein;
        Steißbein; Myelo-CT; L-SPINE; vertebrae; Wirbelkörper; SpineLumbar; Lumbosacral; COCCYX; SACRUM
    """,
}

NO_REGION = """
    Alarm; Farm; warm; Pharma; Charm; Handout; handling; Behandlung; Zweithand; Kopfschmerz; Overhead; Chip;
    Ship; Hippocampus; Schädelin; allgemein; Gebein; Armatur; Legal; legacy; Fußnote; Footer; Darmstadt;
    Halsband; Handy; Beckenbauer; Kniefall; Lungern; Herzlich; Brustschwimmen; Bauchladen; Chestnut; nativ
    links; rechts; left; KM venös; arterial 1.0; contrast; Topogramm; Scout; 5/5mm Plain; DEFAULT; B30f; lung
    window; Lung kernel; bone; Knochenfenster; head first; Feet First; arms up; C-Arm; second hand; SmartScore -
    Gated 0.5 sec; e+1; Aorta; Angio; kranial nach kaudal; Staging; Kontrolle; 5mm; Müller; ASK; Thoraxx;
    Abdomina; Spinell; Hipp; Rippchen; Marmelade; Parma; Kopfing; Schildkröte; Schulterblick
"""

SEVERAL = """
    Thorax/Abdomen; Thorax-Abdomen-Becken; CHESTABDPELVIS; CHESTABDOMEN; ABDOMENPELVIS; Abdomen und Becken; CT
    CAP; TAP; Hals/Thorax; NECKCHEST; WHOLEBODY; Whole body; Ganzkörper; GANZKOERPER; Polytrauma;
    Becken-Bein-Angio; Head and Chest; Schädel + HWS; Thorax + Wirbelsäule; chest abd pelv; Traumaspirale;
    TRUNK; ThoraxAbdomen
"""


def listed(texts: str) -> list[str]:
    return [" ".join(text.split()) for text in texts.split(";")]


@pytest.mark.parametrize(
    ("region", "text"), [(region, text) for region, texts in ONE_REGION.items() for text in listed(texts)]
)
def test_a_text_names_its_region(region: str, text: str) -> None:
    assert regions_in(text) == {region}


@pytest.mark.parametrize("text", ["", *listed(NO_REGION)])
def test_words_that_only_contain_a_region_name_none(text: str) -> None:
    assert regions_in(text) == set()


@pytest.mark.parametrize("text", listed(SEVERAL))
def test_a_text_with_several_regions_is_ambiguous(text: str) -> None:
    assert body_region_of({"BodyPartExamined": text, "SeriesDescription": "Thorax"}) == RegionMatch("unknown", "")


@pytest.mark.parametrize("region", ONE_REGION)
@pytest.mark.parametrize(
    "ending", [" nativ", " KM", " links", " re.", "_venös", "-arteriell", " 1.0 B30f", " bds", " axial"]
)
@pytest.mark.parametrize("change", [str.upper, str.lower, str.title])
def test_side_contrast_and_capitals_do_not_matter(region: str, ending: str, change: object) -> None:
    text = listed(ONE_REGION[region])[0] + ending
    assert callable(change)
    assert regions_in(change(text)) == {region}


def test_every_class_has_words() -> None:
    assert set(ONE_REGION) == set(REGIONS)
    assert all(regions_in(name) == {name} for name in REGIONS)


def test_the_first_field_that_names_a_region_decides() -> None:
    texts = {"StudyDescription": "Abdomen", "ProtocolName": "Thorax", "BodyPartExamined": "DEFAULT"}
    assert body_region_of(texts) == RegionMatch("thorax", "ProtocolName")
    assert body_region_of({"RequestedProcedureDescription": "LWS"}) == RegionMatch(
        "spine", "RequestedProcedureDescription"
    )
    assert body_region_of({}) == RegionMatch("unknown", "")


def test_an_ambiguous_field_stops_the_search_only_when_it_is_reached() -> None:
    assert body_region_of({"ProtocolName": "Polytrauma", "SeriesDescription": "HWS"}).region == "unknown"
    assert body_region_of({"BodyPartExamined": "SPINE", "ProtocolName": "Polytrauma"}).region == "spine"


def test_decomposed_umlauts() -> None:
    assert regions_in("Scha\u0308del") == {"head_neck"}
