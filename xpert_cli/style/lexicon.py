"""Closed word lists of general English, for the measured axes: grammar, stance and the commonest words.

    "the" in ARTICLES, "perhaps" in HEDGES, "water" in COMMON

The groups are the usual ones of stylometry (function words after Burrows; hedges and boosters after Hyland's
stance markers). They are written from general knowledge of English and hold no topic words, so a list says how
something is written, not what about. Does not cover: other languages, spelling mistakes, multi-word expressions.
"""

from __future__ import annotations


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


ARTICLES = _set("the a an")
DEMONSTRATIVES = _set("this that these those such")
FIRST_PERSON = _set("i me my mine myself i'm i've i'd i'll we us our ours ourselves we're we've we'd we'll let's")
SECOND_PERSON = _set("you your yours yourself yourselves you're you've you'd you'll ya y'all u ur")
THIRD_PERSON = _set(
    "he him his himself she her hers herself it its itself they them their theirs themselves he's she's it's "
    "they're they've they'd they'll he'd she'd he'll she'll it'll"
)
PREPOSITIONS = _set(
    "of in to for with on at by from about into over after under between through during before without against "
    "within among upon toward towards across behind beyond along around near beside besides despite above below "
    "beneath amid via per throughout regarding concerning onto off inside outside"
)
COORDINATORS = _set("and or but nor yet so plus")
SUBORDINATORS = _set(
    "because although though while whereas if unless until since when whenever where wherever whether whom whose "
    "which that who once as than"
)
AUXILIARIES = _set(
    "am is are was were be been being do does did have has had having will would shall should can could may might "
    "must ought cannot"
)
MODALS = _set("will would shall should can could may might must ought cannot can't won't couldn't shouldn't wouldn't")
NEGATIONS = _set(
    "no not never none nothing nobody nowhere neither nor without cannot can't don't doesn't didn't won't wouldn't "
    "isn't aren't wasn't weren't haven't hasn't hadn't couldn't shouldn't ain't"
)
HEDGES = _set(
    "maybe perhaps possibly probably likely may might could seem seems seemed appear appears apparently somewhat "
    "fairly generally usually often sometimes typically largely mostly mainly relatively roughly "
    "approximately almost nearly potentially presumably arguably tend tends tended suggest suggests suggested "
    "indicate indicates assume assumed guess suppose doubt unlikely uncertain partially partly"
)
INTENSIFIERS = _set(
    "very really so too extremely totally completely absolutely incredibly super highly truly especially "
    "particularly entirely fully utterly deeply definitely certainly clearly obviously always pretty awfully "
    "terribly seriously literally insanely just exactly simply indeed never ever"
)
CASUAL = _set(
    "hi hey hello hiya howdy yo oh ooh wow whoa yay yeah yep yup nope nah ok okay alright sure hmm hm um uh ah "
    "aha haha hahaha lol lmao omg btw oops ugh phew please thanks thx cheers bye gosh gonna wanna gotta kinda sorta "
    "dunno cool awesome guys folks dude stuff thing things bit lot lots bunch tons super cuz cause anyway "
    "guess"
)
OPENERS = _set(
    "hi hey hello hiya howdy yo dear oh ooh wow whoa yay yeah yep yes nope no ok okay alright sure well hmm um uh "
    "ah aha haha lol omg oops ugh phew thanks thank cheers welcome great good congrats congratulations sorry please "
    "gosh"
)
CONNECTIVES = _set(
    "however therefore thus hence moreover furthermore additionally consequently nevertheless nonetheless "
    "accordingly conversely similarly likewise meanwhile otherwise instead subsequently finally overall "
    "specifically notably importantly ultimately alternatively thereby whereby wherein thereof therein whereas "
    "namely firstly secondly lastly"
)
FEELINGS = _set(
    "love loves loved loving happy happily glad joy enjoy enjoys enjoyed great wonderful amazing awesome "
    "beautiful lovely nice sweet excited exciting excitement delight delightful fantastic brilliant perfect "
    "perfectly best good better hope hopes hoping proud fun funny laugh smile smiles favorite favourite thank "
    "thanks sad sadly angry afraid scared scary worry worried worries hate hated hates terrible awful bad worse "
    "worst cry lonely upset sorry hurt tired annoyed annoying bored boring fear "
    "cheerful surprise surprised surprising wow yay cool cute happiness sadness anger"
)
QUANTIFIERS = _set(
    "some any many much more most few fewer less least several every each both either another enough all half "
    "various numerous multiple lots plenty"
)
# Words that other Latin-script languages do not share, so their share tells English from the rest.
ONLY_ENGLISH = _set(
    "the of and to is that it for with you this are be have from your can which by not but they their we has will "
    "its these what how when there would could should if than then been were them his her she our my who because "
    "about into more some like it's i'm you're don't"
)
# Function words of neighbouring languages, against borrowings such as Dutch "is" and Danish "for".
OTHER_LANGUAGES = _set(
    "und der das ist nicht ich wir ein eine zu den mit auf le les des est et une du que pour dans pas je vous el "
    "los las y es por para con una se lo del não um uma os é da em il che di è non per sono un het een van dat en "
    "ik niet op te og det som på jag är och att inte er jeg w z się na że jest nie yang dan ve bir nog "
    "want als maar voor bij"
)
# Base forms that open an instruction: "Add ...", "Try ...".
VERBS = _set(
    "add adjust aim allow apply arrange ask assess avoid bake be become begin book bring build buy calculate call "
    "carry change check choose clean click close collect combine come compare complete consider contact continue "
    "cook cool count cover create cut decide define describe design determine develop discuss divide do don't draw "
    "drink drive drop earn eat embrace encourage engage enjoy ensure establish evaluate examine exercise expect "
    "explain explore express feed feel fill find finish fix focus fold follow forget get give go grab greet grow "
    "handle have heat help hold identify imagine implement improve include incorporate install introduce invest "
    "invite join jump keep know lead learn leave let let's limit listen live look lower maintain make manage mark "
    "measure meet mix monitor move never note notice observe offer open order organize pack pay pick picture place "
    "plan plant play please practice prepare press print protect provide pull push put raise reach read recall "
    "recognize record reduce reflect remember remove repeat replace report research respect rest return review run "
    "save say schedule search see seek select sell send serve set share show simplify sit sleep solve speak spend "
    "spread stand start state stay stick stir stop store study subtract suggest support switch take talk teach tell "
    "test thank think tie track train treat trust try turn understand update use utilize verify visit wait walk "
    "wash watch wear work write"
)
# Endings that mark a word's kind, for words of at least six letters.
ABSTRACT = ("tion", "tions", "sion", "sions", "ment", "ments", "ity", "ities", "ness", "ism", "isms", "ance", "ence")
DESCRIPTIVE = ("ous", "al", "ive", "ful", "able", "ible", "ic", "ary", "less")
# About 1,300 base forms that cover most of everyday English; inflections are undone before the look-up.
COMMON = (
    _set(
        "ability able above accept across act action actually add adult afraid after afternoon again against age "
        "ago agree ahead air all allow almost alone along already also although always am among amount an and anger "
        "angry animal another answer any anybody anyone anything anyway apart appear apple are area arm army around "
        "arrive art article as ask asleep at ate attack attention aunt autumn away baby back bad bag bake ball "
        "balloon banana band bank bar base basic basket bath be beach bear beat beautiful because become bed "
        "bedroom bee been before began begin behind being believe bell belong below beside best better between big "
        "bike bill bird birth birthday bit bite black blanket blood blow blue board boat body bone book boot bored "
        "boring born both bottle bottom bought bowl box boy brain branch brave bread break breakfast breath breathe "
        "bridge bright bring broke brother brought brown brush bug build building built bunch burn bus business "
        "busy but butter button buy by cake call came camera camp can candle candy cannot cap car card care careful "
        "carry case castle cat catch caught cause center century certain chair chance change chase cheap check "
        "cheek cheese chicken child children choice choose church circle city class classroom clean clear climb "
        "clock close cloth clothes cloud club coat coffee cold collect color colour come common company complete "
        "computer connect contain continue control cook cookie cool copy corn corner correct cost could count "
        "country couple course cousin cover cow crazy cream create cross crowd cry cup cut cute dad daily dance "
        "danger dangerous dark daughter day dead deal dear death decide deep deer desk did die difference different "
        "difficult dig dinner direction dirt dirty discover dish do doctor does dog doll dollar done door double "
        "doubt down draw dream dress drink drive drop dry duck during dust each ear early earn earth east easy eat "
        "edge egg eight either electric else empty end energy engine enjoy enough enter equal even evening event "
        "ever every everybody everyone everything everywhere exactly example except excited exciting exercise "
        "expect explain extra eye face fact fair fall false family famous far farm farmer fast fat father favorite "
        "favourite fear feed feel feeling feet fell felt few field fight figure fill film final find fine finger "
        "finish fire first fish fit five fix flag flat floor flower fly follow food foot football for forest forget "
        "form forward found four free fresh friday friend friendly frog from front fruit full fun funny future game "
        "garden gas gate gave get giant gift girl give glad glass go goal god gold gone good goodbye got government "
        "grade grandfather grandma grandmother grandpa grass great green grew grey ground group grow guess guide "
        "guy had hair half hall hand hang happen happy hard hardly has hat hate have he head health healthy hear "
        "heard heart heat heavy held hello help her here hero hers herself hi hid hide high hill him himself his "
        "history hit hold hole holiday home homework honey hope horse hospital hot hour house how however huge "
        "human hundred hungry hurry hurt husband i ice idea if imagine important in inch include indeed inside "
        "instead interest interesting into is island it its itself jacket job join joke joy juice jump just keep "
        "kept key kick kid kill kind king kiss kitchen knee knew knife knock know lady lake land language large "
        "last late laugh law lay lazy lead leader leaf learn least leave left leg lemon lesson let letter level "
        "library lie life lift light like likely line lion lip list listen little live long look lose lost lot loud "
        "love low luck lucky lunch machine mad made magic mail main make man many map mark market marry match math "
        "matter may maybe me meal mean meat medicine meet member memory men message met middle might mile milk "
        "million mind mine minute miss mistake mix moment monday money monkey month moon more morning most mother "
        "mountain mouse mouth move movie much mud mum mom music must my myself name nature near nearly neck need "
        "neighbor neighbour neither nest never new news next nice night nine no nobody noise none nor normal north "
        "nose not note nothing notice now number o'clock ocean of off offer office often oh oil okay old on once "
        "one only onto open or orange order other our ours out outside over own page paid pain paint pair pan paper "
        "parent park part party pass past path pay peace pen pencil people perfect perhaps person pet phone photo "
        "pick picture pie piece pig pink pizza place plan plane plant plate play please plenty pocket point police "
        "pool poor popular possible post pot potato pound power practice prepare present press pretty price print "
        "prize probably problem program promise protect proud pull push put puzzle quarter queen question quick "
        "quickly quiet quite rabbit race radio rain ran reach read ready real really reason red remain remember "
        "repeat reply report rest result return rice rich ride right ring rise river road rock roll roof room rope "
        "round rule run sad safe said sail salad salt same sand sandwich sat saturday save saw say scared school "
        "science sea search season seat second secret see seed seem seen sell send sent sentence serious serve set "
        "seven several shadow shake shape share sharp she sheep shelf shine ship shirt shoe shop short should "
        "shoulder shout show shower shut sick side sign silly silver similar simple since sing single sister sit "
        "six size skin sky sleep slept slow slowly small smart smell smile smoke snack snake snow so soap soccer "
        "sock soft soil sold soldier some somebody someone something sometimes somewhere son song soon sorry sort "
        "sound soup south space speak special spell spend spent spoke spoon sport spot spread spring square stage "
        "stair stand star start state station stay steal step stick still stomach stone stood stop store storm "
        "story straight strange street strong student study stuff stupid such sudden suddenly sugar suit summer sun "
        "sunday sunny supper sure surprise sweet swim table tail take talk tall taste taught tea teach teacher team "
        "tear teeth tell ten tent test than thank that the their them themselves then there these they thick thin "
        "thing think third thirsty this those though thought thousand three threw through throw thursday ticket "
        "tidy tie tiger tight till time tiny tire tired to today toe together toilet told tomorrow tongue tonight "
        "too took tool tooth top total touch toward town toy track trade train travel tree trick trip trouble truck "
        "true trust truth try tuesday turn turtle twelve twenty twice two type ugly umbrella uncle under understand "
        "understood unless until up upon us use useful usual usually vacation vegetable very video village visit "
        "voice wait wake walk wall want war warm was wash waste watch water wave way we weak wear weather wednesday "
        "week weekend weight welcome well went were west wet what whatever wheel when where whether which while "
        "white who whole whose why wide wife wild will win wind window winter wish with within without woke woman "
        "women won wonder wonderful wood word wore work world worry worse worst would write written wrong wrote "
        "yard yeah year yellow yes yesterday yet you young your yours yourself zero zoo having cooler speed super "
        "grown shown known given taken chosen broken eaten fallen forgotten hidden driven worn torn flew drew led "
        "bent burnt dealt fed fought froze knelt laid lent lit meant rang rode rose sang sank slid spun stuck "
        "struck swam swept swung thrown wound"
    )
    | ARTICLES
    | DEMONSTRATIVES
    | FIRST_PERSON
    | SECOND_PERSON
    | THIRD_PERSON
    | PREPOSITIONS
    | COORDINATORS
    | SUBORDINATORS
    | AUXILIARIES
    | NEGATIONS
)
