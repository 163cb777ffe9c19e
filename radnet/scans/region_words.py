"""Words that name a body region, in German and English.

Every word stands alone: matching is by whole words, so "Darm" is no arm and "Felsenbein" no leg, and each German
compound that counts is written out. Umlauts are written as such here; spellings with ae, oe, ue and with the bare
vowel are accepted for each. Terms of BodyPartExamined are those of DICOM PS3.16 Annex L.
"""

HEAD_NECK = """
    head heads kopf kopfes köpfe skull schädel schädels schädelbasis skullbase schädelhirn hirnschädel gesichtsschädel
    cranium kranium cranial cct ncct brain brains hirn gehirn gehirns cerebrum cerebral zerebral intracranial
    intrakraniell neurocranium neurokranium viscerocranium face facial gesicht mittelgesicht gesichtsknochen
    neck hals halses halsweichteile halsweichteil halsgefäße kopfgefäße hirngefäße cow
    carotid carotids carotis karotis karotiden carotiden
    orbit orbits orbita orbitae orbiten orbital eye eyes auge augen augenhöhle ear ears ohr ohren innenohr mittelohr
    iac felsenbein felsenbeine felsenbeins temporalbone mastoid mastoids petrous schläfenbein jochbein
    sinus sinuses nnh nasennebenhöhle nasennebenhöhlen nebenhöhlen nose nasal nase nasenbein
    maxilla mandible mandibula unterkiefer oberkiefer kiefer kiefers jaw jaws jawzone tmj kiefergelenk kiefergelenke
    dental zahn zähne teeth tooth mund mundhöhle mundboden mouth oral zunge tongue
    larynx kehlkopf pharynx nasopharynx hypopharynx oropharynx rachen epipharynx
    thyroid schilddrüse schilddrüsen parotis parotid speicheldrüse speicheldrüsen
    sella hypophyse pituitary headneck kopfhals dvt
"""

THORAX = """
    thorax thoraces thx chest chests brust brustkorb brustraum brustwand thoraxwand chestwall
    lung lungs lunge lungen pulmo pulmonary pulmonal pulmonale pulmonaler pulmonales pulmonalis ctpa cpta hrct
    lungenembolie lungenarterie lungenarterien pulmonalarterie pulmonalarterien lungenrundherd
    mediastinum mediastinal pleura bronchus bronchial bronchien trachea luftröhre
    heart herz herzens herzkranzgefäße cardiac coronary coronaries coronar coronarien koronar koronarien
    koronararterien koronare koronarangiographie cardio kardio kardial ccta tavi tavr
    rib ribs rippe rippen rippenthorax hemithorax sternum brustbein breast breasts mamma
    ösophagus oesophagus esophagus speiseröhre thoraxapertur
"""

THORAX_ADJECTIVES = "thoracic thorakal thorakale thorakaler thorakales thorakalen"
"""They name the thorax unless a word of the spine is near: thoracic spine."""

ABDOMEN = """
    abdomen abdomens abdominal abdominale abdominaler abdominales abdominell abdominelle abd abdo abdom
    bauch bauches bauchraum bauchwand oberbauch oberbauchs unterbauch mittelbauch
    liver leber lebern leberadern hepatic hepatisch milz spleen lien pancreas pancreatic pankreas
    bauchspeicheldrüse pankreaskopf gallbladder gallenblase galle gallenwege biliary
    kidney kidneys niere nieren nierensteine nierenstein nierenarterie nierenarterien renal
    nebenniere nebennieren adrenal adrenals ureter ureters harnleiter kub urogramm urographie urography ctu
    stomach magen darm dünndarm dickdarm bowel intestine intestinal enterography enterographie
    colon kolon colonography colonoscopy kolonographie koloskopie ctc appendix blinddarm duodenum
    mesenterial mesenteric mesenterium retroperitoneum retroperitoneal peritoneum
"""

EXTREMITIES = """
    extremity extremities extremität extremitäten limb limbs
    arm arms arme armes upperarm oberarm oberarms oberarme unterarm unterarms unterarme forearm forearms
    humerus humeruskopf ulna elle radius radiusköpfchen
    shoulder shoulders schulter schultern schultergelenk schultergelenke scapula skapula schulterblatt
    clavicle clavicles clavicula klavikula schlüsselbein schlüsselbeine acjoint
    elbow elbows ellenbogen ellbogen ellenbogengelenk wrist wrists handgelenk handgelenke handwurzel
    hand hands hände mittelhand finger fingers thumb daumen scaphoid skaphoid kahnbein karpus carpus
    leg legs bein beine beines thigh thighs oberschenkel oberschenkels unterschenkel unterschenkels calf
    femur femora femurs femurschaft tibia tibiae tibiakopf tibiaplateau fibula wadenbein schienbein lowerleg
    knee knees knie knies kniegelenk kniegelenke patella kniescheibe
    ankle ankles sprunggelenk sprunggelenke sprunggelenks osg
    foot feet fuß fußes füße vorfuß rückfuß mittelfuß fußwurzel zeh zehe zehen toe toes heel ferse
    calcaneus kalkaneus fersenbein talus
"""

HIP_PELVIS = """
    pelvis pelvic pelv becken beckens beckenring beckenknochen beckenskelett pelvisbone
    hip hips hüfte hüften hüftgelenk hüftgelenke hüftgelenks hüftkopf hüft acetabulum azetabulum hüftpfanne
    schenkelhals schenkelhalses femurkopf
    isg iliosakralgelenk iliosakralgelenke iliosakral sacroiliac si_joint sijoint ilium
    bladder blase harnblase prostate prostata uterus ovary ovaries ovar ovarien cervix rectum rektum rectal
    groin leiste leisten symphyse symphysis perineum beckenboden
"""

SPINE = """
    spine spines spinal spinale spinaler spinalkanal wirbelsäule wirbelsäulen ws hws bws lws hwk bwk lwk
    halswirbelsäule brustwirbelsäule lendenwirbelsäule halswirbel brustwirbel lendenwirbel wirbel wirbelkörper
    cspine tspine lspine sspine ctspine tlspine lsspine cwk vertebra vertebrae vertebral
    lumbar lumbal lumbale lumbaler lumbales lumbosacral lumbosakral sacrum sakrum kreuzbein os_sacrum
    coccyx steißbein myelo myelographie myelography myelogram bandscheibe bandscheiben cervicalspine
    lumbarspine thoracicspine rückenmark
"""

SEVERAL = """
    wholebody ganzkörper ganzkörperct body_trunk trunk torso rumpf stamm körperstamm polytrauma traumaspirale
    tap cap chestabdomen chestabdpelvis chestabdomenpelvis abdomenpelvis abdpelvis abdpelv neckchest
    neckchestabdomen neckchestabdpelv neckchestabdpelvis thoraxabdomen thoraxabdomenbecken abdomenbecken
    headneckchest panaorta multisystem
"""
"""Names of more than one region at once, in one word."""

PHRASES = {
    "thorax": "chest wall; breast bone",
    "head_neck": "temporal bone; temporal bones; circle of willis; skull base; base of skull",
    "abdomen": "pancreatic head; head of pancreas; head of the pancreas; renal pelvis",
    "extremities": (
        "humeral head; head of humerus; radial head; upper arm; lower arm; upper leg; lower leg;"
        "upper limb; lower limb; upper extremity; lower extremity"
    ),
    "hip_pelvis": "femoral neck; neck of femur; femoral head; head of femur; si joint; si joints; bladder neck",
    "spine": "c spine; t spine; l spine; cervical vertebra; cervical spine; cervical disc",
    "several": "whole body; ganz körper; total body; head to toe; kopf bis fuß",
    "": (
        "head first; feet first; foot first; kopf voran; füße voran; head holder; head rest; head coil;"
        "arms up; arms down; arm up; arm down; arms raised; arms above head; arms over head; arms overhead;"
        "arme hoch; arm hoch; arme oben; arm oben; arme unten; arm unten; arme über kopf; arme über dem kopf;"
        "arme überkopf; arme angelegt; c arm; second hand; hand injection; hand injector; handinjektion"
    ),
}
"""Words that belong together. The last entry names none: positions of the patient and equipment."""

SETTING_WORDS = """
    window windows kernel algorithm filter recon fenster kern rekonstruktion
"""
"""A region word right before one of these names a display or reconstruction setting ("lung window")."""
