"""Function words of fifteen languages other than English, and frequent words of their neighbours, as data.

    "ich mich mir" in WORDS

A block a language, a family a line; a line that begins with a blank goes on. The families are the closed classes of
grammars (Universal Dependencies' PRON, DET, ADP, CCONJ, SCONJ, AUX, PART; J. Burrows 2002 for their use), then what
chats are full of. Written from general knowledge of the languages, without words of any topic, and compared with
stopwords-iso 1.1.0. "-x" is an ending of words. Chinese and Japanese, which leave no spaces, are looked for anywhere in
a text. A family that a language lacks has no line. [xx LETTERS] names letters that only neighbouring languages write,
whose texts are then not read. [neighbours] are words of other languages, so that their texts are not taken for one of
these. Not here: English (lexicon.py), and how the words are counted (languages.py).
"""

from __future__ import annotations

WORDS = """
[de]
articles: der die das den dem des ein eine einen einem einer eines
first person: ich mich mir mein meine meinen meinem meiner wir uns unser unsere unseren
second person: du dich dir dein deine deinen deinem deiner ihr euch euer eure
third person: er ihn ihm sein seine seinen seinem seiner sie ihnen ihre ihren ihrem ihrer es
demonstratives: dies diese diesen diesem dieser dieses jene jener solche so da hier dort
prepositions: in im an am auf aus bei beim mit nach von vom zu zum zur für durch gegen ohne um über unter vor hinter
  neben zwischen seit bis während wegen trotz
conjunctions: und oder aber sondern denn doch sowie
subordinators: dass weil wenn ob als obwohl damit bevor nachdem sobald falls wie was wer
auxiliaries: bin bist ist sind seid war waren warst sein gewesen habe hab hast hat haben hatte hatten werde wird
  werden wurde wurden
modals: kann kannst können konnte könnte muss musst müssen musste soll sollst sollen sollte will willst wollen wollte
  darf dürfen mag möchte
negations: nicht nichts nie niemals kein keine keinen keinem keiner nein niemand ohne nirgends
quantifiers: alle alles viel viele mehr wenig weniger einige manche jeder jede jedes beide etwas genug paar mehrere
hedges: vielleicht wohl wahrscheinlich eventuell möglicherweise ungefähr etwa ziemlich glaube glaub denke denk finde
  scheinbar anscheinend
intensifiers: sehr ganz echt total wirklich voll so zu besonders richtig absolut extrem mega unbedingt
question words: wer was wann wo wie warum wieso weshalb welche welcher welches wohin woher
fillers: also halt eben mal ja naja na tja ähm äh ach doch schon eigentlich irgendwie
formal address: ihnen ihrerseits herr frau geehrte geehrter geehrten freundlichen grüßen
thanks: danke dankeschön dank bitte merci
slang: ne nee nö jo jap jup vllt evtl lg mfg hdl omg lol wtf kp kb ka iwie iwann bzgl nix net isso digga alter krass
  geil
[fr]
articles: le la les l un une des du de d
first person: je j me m moi mon ma mes nous notre nos on
second person: tu te t toi ton ta tes vous votre vos
third person: il elle ils elles lui leur leurs son sa ses se s eux y en
demonstratives: ce cet cette ces ça cela ceci celui celle ceux celles c voici voilà
prepositions: à au aux de du des en dans par pour sur sous avec sans chez vers entre depuis pendant avant après contre
conjunctions: et ou mais donc or ni car puis
subordinators: que qu qui dont où quand si comme lorsque parce puisque quoique afin
auxiliaries: suis es est sommes êtes sont étais était étaient été être ai as a avons avez ont avais avait avoir sera
  serait
modals: peux peut pouvez peuvent pouvoir pourrait dois doit devez devoir devrait faut faudrait veux veut voulez
  vouloir voudrais
negations: ne n pas non rien jamais plus personne aucun aucune sans ni nan
quantifiers: tout tous toute toutes beaucoup peu plusieurs quelques chaque trop assez moins certains
hedges: peut-être sûrement probablement environ presque plutôt crois pense semble genre apparemment
intensifiers: très trop vraiment super tellement bien si grave hyper tout particulièrement
question words: qui quoi quand où comment pourquoi combien quel quelle quels quelles est-ce
fillers: bah ben bon euh hein voilà quoi enfin alors donc du coup genre bref
formal address: vous votre vos monsieur madame cordialement veuillez
thanks: merci mercii remercie stp svp
slang: mdr ptdr lol jpp bcp tkt tg slt cc bjr oklm ouais ouai wsh wesh trql dsl pk pcq psk jsp jsuis chui c'est-à-dire
  vrmt bg
[es]
articles: el la los las un una unos unas lo al del
first person: yo me mi mis mí conmigo nosotros nosotras nos nuestro nuestra nuestros nuestras mío mía
second person: tú tu tus te ti contigo vos vosotros os usted ustedes
third person: él ella ellos ellas le les lo la los las se su sus sí suyo suya
demonstratives: este esta esto estos estas ese esa eso esos esas aquel aquella aquello aquí ahí allí
prepositions: a ante bajo con contra de desde en entre hacia hasta para por según sin sobre tras durante
conjunctions: y e o u pero sino ni pues
subordinators: que porque cuando si como donde aunque mientras quien cual cuyo
auxiliaries: soy eres es somos son era eran fue ser sido estoy estás está estamos están estaba estar he has ha hemos
  han había haber hay
modals: puedo puedes puede podemos pueden poder podría debo debe deber debería tengo tienes tiene tener quiero quieres
  quiere querer
negations: no nada nunca jamás nadie ningún ninguna ninguno tampoco sin ni
quantifiers: todo toda todos todas mucho mucha muchos muchas poco poca pocos pocas más menos algún alguna algo varios
  cada otro otra bastante
hedges: quizá quizás probablemente creo pienso parece supongo casi acaso
intensifiers: muy tan tanto demasiado super súper realmente bien re totalmente bastante
question words: qué quién cuándo dónde cómo cuánto cuál
fillers: bueno pues eh este entonces vale venga mira oye
formal address: usted ustedes señor señora estimado estimada atentamente saludos
thanks: gracias grax porfa porfavor favor
slang: jaja jajaja jajajaja q k xq pq tmb tb bn x d xd jeje porfa finde wey güey tío tía guay
[pt]
articles: o a os as um uma uns umas do da dos das no na nos nas ao à pelo pela
first person: eu me mim meu minha meus minhas comigo nós nos nosso nossa gente conosco
second person: tu te ti teu tua você vocês vc vcs seu sua contigo
third person: ele ela eles elas lhe lhes se si seu sua seus suas dele dela deles delas
demonstratives: este esta isto estes estas esse essa isso esses essas aquele aquela aquilo aqui aí ali lá
prepositions: a ante com contra de desde em entre para pra por sem sob sobre até durante
conjunctions: e ou mas porém nem pois
subordinators: que porque quando se como onde embora enquanto quem cujo caso
auxiliaries: sou és é somos são era eram foi ser sido estou está estamos estão estava estar tenho tem temos têm tinha
  ter há havia
modals: posso pode podemos podem poder poderia devo deve dever deveria quero quer querer precisa preciso vou vai
negations: não nada nunca jamais ninguém nenhum nenhuma nem sem n num
quantifiers: todo toda todos todas tudo muito muita muitos muitas pouco pouca poucos mais menos algum alguma alguns
  cada outro outra vários
hedges: talvez provavelmente acho penso parece quase aproximadamente imagino
intensifiers: muito mto tão tanto demais super bem realmente totalmente bastante
question words: que quem quando onde como quanto qual quais porquê cadê
fillers: então bom né tipo ah ué olha enfim assim
formal address: senhor senhora sr sra prezado prezada atenciosamente cumprimentos
thanks: obrigado obrigada brigado brigada valeu obg vlw
slang: vc vcs tb tbm pq q blz kkk kkkk rs rsrs n hj mds mano cara aff fds msm dps td
[it]
articles: il lo la i gli le l un uno una del dello della dei degli delle al alla nel nella dal dalla sul sulla
first person: io mi me mio mia miei mie noi ci nostro nostra nostri nostre
second person: tu ti te tuo tua tuoi tue voi vi vostro vostra
third person: lui lei loro egli essa essi suo sua suoi sue si gli le ne
demonstratives: questo questa questi queste quello quella quelli quelle quel ciò qui qua lì là
prepositions: a ad da di in con su per tra fra senza verso sotto sopra dopo prima durante contro
conjunctions: e ed o oppure ma però né anche quindi
subordinators: che perché quando se come dove mentre chi cui sebbene finché poiché
auxiliaries: sono sei è siamo siete era erano ero essere stato stata ho hai ha abbiamo avete hanno avevo aveva avere
modals: posso puoi può possiamo potete possono potere potrebbe devo devi deve dovere dovrebbe voglio vuoi vuole volere
  vorrei
negations: non no niente nulla mai nessuno nessuna neanche nemmeno né senza
quantifiers: tutto tutta tutti tutte molto molta molti molte poco poca pochi più meno qualche alcuni alcune ogni altro
  altra troppo abbastanza
hedges: forse probabilmente credo penso sembra quasi circa magari
intensifiers: molto così tanto troppo davvero proprio veramente super assai
question words: chi cosa quando dove come perché quanto quale quali
fillers: allora beh boh mah cioè dai ecco insomma tipo vabbè eh
formal address: lei signor signora gentile egregio cordiali saluti distinti
thanks: grazie grz prego favore
slang: cmq nn xke xché tvb x k raga boh bho qnd sn tt dp ke anke ahah ahahah ahaha
[nl]
articles: de het een 't 'n
first person: ik me mij mijn m'n wij we ons onze
second person: jij je jou jouw jullie u uw
third person: hij hem zijn z'n zij ze haar hun hen het zich
demonstratives: dit dat deze die zulke hier daar er
prepositions: in op aan van voor met naar bij uit door over onder tot tegen zonder om tussen sinds tijdens te
conjunctions: en of maar want noch dus
subordinators: dat omdat als wanneer hoewel terwijl toen zodat wat wie
auxiliaries: ben bent is zijn was waren geweest heb hebt heeft hebben had hadden word wordt worden werd werden
modals: kan kun kunt kunnen kon konden moet moeten moest mag mogen zal zult zullen zou zouden wil wilt willen wilde
  wou
negations: niet niets nooit geen nee niemand nergens zonder
quantifiers: alle alles veel meer weinig minder enkele sommige elke elk ieder iedere beide iets genoeg paar
hedges: misschien wellicht waarschijnlijk ongeveer bijna eigenlijk denk vind geloof blijkbaar schijnbaar
intensifiers: heel erg zeer echt te zo best wel super helemaal ontzettend
question words: wie wat wanneer waar hoe waarom welke welk hoeveel
fillers: nou dus ja hè toch even maar hoor zeg ofzo gewoon eigenlijk
formal address: u uw meneer mevrouw geachte vriendelijke groet groeten
thanks: dank bedankt dankje dankjewel thanks merci
slang: idd ff egt mss gwn nix wss ofzo iig hoi doei kdenk kweet kheb nope jep jup
[pl]
first person: ja mnie mi mną mój moja moje moich my nas nam nami nasz nasza nasze
second person: ty ciebie cię ci tobie tobą twój twoja twoje wy was wam wami wasz
third person: on ona ono oni one jego jej jemu im ich go mu nim nią nich się siebie sobie swój swoje
demonstratives: ten ta to ci te tego tej tych tym tymi tamten tamta tam tu tutaj taki taka takie
prepositions: w we z ze na do od o po przed za przez dla bez pod nad przy u między podczas ku
conjunctions: i oraz a ale lub albo ani lecz więc
subordinators: że żeby bo ponieważ gdy kiedy jeśli jeżeli czy chociaż który która które którzy jak gdzie aż
auxiliaries: jestem jesteś jest jesteśmy są był była było byli były być będę będzie będą byłem byłam mam masz ma mamy
  mają miał mieć
modals: mogę możesz może możemy mogą móc muszę musisz musi powinien powinna chcę chcesz chce chcieć trzeba można
negations: nie nic nigdy nikt żaden żadna żadne nigdzie bez ani
quantifiers: wszystko wszyscy wszystkie dużo wiele mało więcej mniej kilka każdy każda każde oba trochę niektóre
hedges: może chyba prawdopodobnie pewnie raczej myślę wydaje około prawie podobno
intensifiers: bardzo tak naprawdę strasznie zbyt całkiem mega serio totalnie
question words: kto co kiedy gdzie jak dlaczego czemu ile jaki jaka jakie który
fillers: no więc cóż właśnie eee hmm wiesz jakby niby
formal address: pan pani państwo pana panu panią pańska szanowny szanowna pozdrawiam
thanks: dzięki dziękuję dzieki dziekuje dzięks proszę
slang: nwm nw spk okej oki xd bd jbc bb nara siema elo spoko git ziom xdd xddd
[ru ієїґљњћђџј]
first person: я меня мне мной мой моя моё мои мою моего мы нас нам нами наш наша наше наши
second person: ты тебя тебе тобой твой твоя твоё твои вы вас вам вами ваш ваша ваше ваши
third person: он она оно они его её ее ему ей им их ним ней них себя себе свой своя свои своё
demonstratives: этот эта это эти этого этой этих этом тот та то те того тех тут там здесь вот такой такая такие
prepositions: в во на с со к ко от до из у о об по за под над при без для через между перед после про
conjunctions: и а но или да либо ни зато тоже также
subordinators: что чтобы потому если когда как где который которая которые которое хотя пока ли
auxiliaries: был была было были быть буду будет будут будем есть бы
modals: могу можешь может можем могут мочь можно нужно надо должен должна должны хочу хочешь хочет хотят
negations: не нет ни никогда ничего никто нельзя никак без нигде
quantifiers: все всё всех весь вся много мало больше меньше несколько каждый каждая каждое оба некоторые
hedges: может наверное возможно кажется вроде думаю примерно почти видимо похоже
intensifiers: очень так слишком совсем реально прямо такой самый настолько довольно
question words: кто что когда где как почему зачем сколько какой какая какие куда откуда чей
fillers: ну вот короче типа же уж блин как бы значит ладно
formal address: вы вас вам вами ваш ваша ваше уважаемый уважаемая уважением
thanks: спасибо спс благодарю пасиб пасибо пожалуйста
slang: спс пж пжл норм щас ща чо чё че ок имхо лол ахах ахаха хах кста мб тя бро чел крч
[tr]
first person: ben beni bana benim bende benden biz bizi bize bizim
second person: sen seni sana senin sende siz sizi size sizin
third person: o onu ona onun onlar onları onlara onların kendi kendisi
demonstratives: bu şu bunu şunu bunlar şunlar buna bunun burada orada böyle şöyle öyle
prepositions: için ile gibi kadar göre sonra önce karşı doğru rağmen dolayı beri
conjunctions: ve veya ya ama fakat ancak de da hem ise
subordinators: ki çünkü eğer diye iken zaman
auxiliaries: var vardı olan oldu olur olarak olmak olsa idi imiş miş
modals: lazım gerek gerekiyor gerekir mümkün olabilir istiyorum isterim
negations: değil yok hayır hiç hiçbir asla ne yoktu
quantifiers: her bütün tüm çok az daha fazla bazı birkaç birçok biraz kimse herkes
hedges: belki galiba sanırım herhalde yaklaşık neredeyse sanki bence
intensifiers: çok en pek gerçekten baya bayağı aşırı tam kesinlikle
question words: kim ne nerede nereye nasıl neden niye niçin hangi kaç mı mi mu mü
fillers: yani işte şey hani valla ya falan neyse tamam
formal address: siz sizi size sizin efendim sayın bey hanım saygılar
thanks: teşekkür teşekkürler sağol sağolun eyvallah tşk tşkler
slang: slm nbr naber mrb kib tmm knk kanka aynen bi hee hea amk aq
[id]
first person: saya aku ku gue gw gua kami kita
second person: kamu kau anda kalian lu lo elo engkau mu
third person: dia ia mereka beliau nya
demonstratives: ini itu sini situ sana begini begitu tersebut
prepositions: di ke dari pada untuk dengan oleh dalam antara tanpa buat bagi sampai sejak tentang
conjunctions: dan atau tetapi tapi namun serta melainkan
subordinators: yang bahwa karena jika kalau ketika saat agar supaya meskipun walaupun sehingga
auxiliaries: adalah ialah akan sudah telah sedang masih belum udah lagi pernah
modals: bisa dapat harus boleh perlu mau ingin mungkin
negations: tidak bukan tak jangan belum nggak gak ga enggak ngga tanpa
quantifiers: semua banyak sedikit beberapa setiap tiap lebih kurang para seluruh cukup
hedges: mungkin sepertinya kayaknya kira-kira kira hampir rasanya barangkali
intensifiers: sangat sekali banget amat terlalu paling benar-benar sungguh
question words: apa siapa kapan mana bagaimana gimana kenapa mengapa berapa
fillers: sih dong deh kok nih tuh kan ya lah loh kayak
formal address: anda saya bapak ibu pak bu hormat silakan mohon
thanks: terima kasih makasih thanks thx trims tks
slang: yg gk dgn krn utk tdk blm sdh bgt aja doang gmn wkwk wkwkwk haha otw btw jg kyk bro
[ar پچژگکی]
first person: أنا انا نحن احنا إحنا لي لنا عندي عندنا معي نفسي
second person: أنت انت أنتِ أنتم انتم انتي إنت إنتي لك لكم عندك معك
third person: هو هي هم هما هن له لها لهم عنده عندها به بها فيه فيها
demonstratives: هذا هذه هذي ذلك تلك هؤلاء هنا هناك ده دي هاد هاي
prepositions: في من على إلى الى عن مع بين عند منذ حتى تحت فوق بعد قبل خلال ضد بدون
conjunctions: و أو او ثم لكن بل أم ولكن
subordinators: أن ان إن لأن لان إذا اذا لو كما حيث الذي التي الذين اللي عندما لما كي
auxiliaries: كان كانت كانوا يكون تكون كنت صار ليس سوف قد
modals: يمكن ممكن لازم يجب أريد اريد عايز بدي أقدر اقدر ينبغي
negations: لا ما لم لن ليس ليست مش مو غير ولا بدون ابدا أبدا
quantifiers: كل بعض جميع كثير قليل أكثر اكثر أقل شوية كتير عدة
hedges: ربما يمكن أعتقد اعتقد أظن اظن تقريبا يبدو احتمال
intensifiers: جدا جداً كثيرا مرة أوي قوي فعلا حقا للغاية
question words: ماذا من متى أين اين كيف لماذا ليش ليه كم هل شو ايش وين إيه
fillers: يعني طيب بس خلاص والله يا اه آه طب
formal address: حضرتك سيدي سيدتي السيد السيدة المحترم تحياتي
thanks: شكرا شكراً مشكور تسلم يسلمو
slang: هههه ههههه لول اوك باي هاي برافو
[hi]
first person: मैं मुझे मुझको मेरा मेरी मेरे हम हमें हमारा हमारी हमारे मैंने हमने
second person: तू तुम तुम्हें तुम्हारा तुम्हारी तुम्हारे तेरा तेरी आप आपको आपका आपकी आपके
third person: वह वो वे उसे उसको उसका उसकी उसके उन्हें उनका उनकी उनके उसने अपना अपनी अपने
demonstratives: यह ये इस इन इसे इसका इसकी इसके उस उन यहाँ यहां वहाँ वहां ऐसा ऐसे
prepositions: में से को का की के पर तक ने लिए साथ बाद पहले बिना बारे
conjunctions: और या लेकिन मगर पर परंतु तथा एवं
subordinators: कि क्योंकि अगर यदि जब तो जो जैसे जहाँ ताकि हालाँकि
auxiliaries: है हैं हूँ हूं हो था थी थे होगा होगी होंगे रहा रही रहे गया गई गए
modals: सकता सकती सकते चाहिए चाहता चाहती पड़ेगा पड़ता
negations: नहीं न ना मत कभी बिना
quantifiers: सब सभी बहुत कुछ थोड़ा थोड़ी कम ज्यादा ज़्यादा हर कई अधिक
hedges: शायद लगभग लगता करीब
intensifiers: बहुत बड़ा काफी काफ़ी एकदम बिल्कुल सच इतना
question words: क्या कौन कब कहाँ कहां कैसे क्यों कितना कितने किस कौनसा
fillers: अच्छा अरे हाँ हां बस मतलब वैसे तो यार
formal address: आप आपको आपका आपकी आपके जी श्री कृपया
thanks: धन्यवाद शुक्रिया थैंक्स
slang: हाहा हाहाहा ओके यार भाई
[ja]
first person: 私 わたし 僕 ぼく 俺 おれ 自分 うちら 我々
second person: あなた 君は 君の きみ お前 おまえ あんた
third person: 彼は 彼の 彼が 彼女 彼ら
demonstratives: これ それ あれ この その あの ここ そこ あそこ こんな そんな
prepositions: は が を に で と も の へ まで より
conjunctions: そして また でも しかし けど だが それに それで
subordinators: から ので のに たら なら ながら とき 時に ために
auxiliaries: です ます だった でした ました である ている てる
modals: できる られる べき たい なければ
negations: ない なかった ません なく じゃな
quantifiers: たくさん 少し みんな 全部 すべて 多く いくつか 毎
hedges: たぶん 多分 かも と思う らしい みたい ようだ だろう
intensifiers: とても すごく めっちゃ 本当に かなり 超 非常に マジ
question words: 何 なに どう なぜ どうして いつ どこ 誰 だれ どの
fillers: えっと まあ なんか ちょっと ね よね さあ えー
formal address: です ます ございま ください でしょう いたし
thanks: ありがと どうも 感謝 すみません
slang: www 笑 草 やばい ヤバい それな おつ りょ
[zh]
first person: 我 咱 俺
second person: 你 您 妳
third person: 他 她 它
demonstratives: 这 那 這 此
prepositions: 在 从 從 对 對 向 给 給 把 被 跟 的 地 得 于 於
conjunctions: 和 与 與 及 而且 但 可是 不过 不過 或
subordinators: 因为 因為 所以 如果 虽然 雖然 除非 时候 時候 只要
auxiliaries: 是 有 了 着 著 过 過
modals: 会 會 能 可以 应该 應該 必须 必須 要 想
negations: 不 没 沒 别 無 无
quantifiers: 很多 一些 几个 幾個 每 所有 全部 都 许多 許多
hedges: 可能 也许 也許 大概 好像 觉得 覺得 似乎
intensifiers: 很 非常 太 真的 特别 特別 超 挺 十分
question words: 什么 什麼 怎么 怎麼 为什么 為什麼 哪 谁 誰 吗 嗎 呢
fillers: 嗯 啊 吧 呀 哦 就是 其实 其實 然后 然後
formal address: 您 请 請 贵 貴 敬
thanks: 谢谢 謝謝 感谢 感謝 多谢 多謝 谢啦
slang: 哈哈 呵呵 嘿嘿 233 666 啦 嘛 哇 靠
[ko]
first person: 나 나는 난 내가 나를 날 나도 내 나의 저 저는 전 제가 저를 저도 제 우리 우리는 우리가 우리도
second person: 너 너는 넌 네가 니가 너를 널 너도 너의 네 당신 당신은 당신의 여러분
third person: 그 그는 그가 그녀 그녀는 그녀가 그의 그들 그들은 걔 걔는 걔가 얘 쟤
demonstratives: 이 그 저 이거 그거 저거 이것 그것 저것 이건 그건 여기 거기 저기 이런 그런 저런 이렇게 그렇게
prepositions: -은 -는 -을 -를 -에 -에서 -의 -도 -으로 -와 -과 -하고 -한테 -까지 -부터 -에게
conjunctions: 그리고 그런데 근데 하지만 그래서 또는 및 그러나
subordinators: -면 -니까 -어서 -아서 -지만 -는데 -려고 때문에 때
auxiliaries: 있다 있어 있는 있고 있습니다 이다 입니다 이에요 예요 -였다 -입니다 -이에요 -예요 됩니다 돼 되는
modals: 수 해야 싶어 싶다 싶은 -겠다 -겠어 -겠습니다 할게 할까
negations: 안 못 아니 아니야 아니요 아닌 않아 않는 않고 않다 않은 없어 없는 없다 없이 없습니다 말고
quantifiers: 다 모두 많이 많은 조금 좀 더 덜 모든 여러 각 전부
hedges: 아마 아마도 같아 같은데 같아요 것 듯 거의 약 혹시
intensifiers: 너무 정말 진짜 아주 매우 완전 되게 엄청 훨씬
question words: 뭐 무엇 무슨 언제 어디 어떻게 왜 누가 누구 어느 몇 얼마
fillers: 음 어 아 뭐 그냥 막 저기 좀 이제
formal address: -요 -니다 -니까 -세요 -죠 -시다 님 -님
thanks: 고마워 고마워요 감사 감사합니다 감사해요 고맙습니다 ㄱㅅ 땡큐
slang: ㅋㅋ ㅋㅋㅋ ㅋㅋㅋㅋ ㅎㅎ ㅎㅎㅎ ㅠㅠ ㅜㅜ ㅇㅇ ㄴㄴ ㄱㄱ ㅇㅋ 헐 대박 ㅇㅈ
[neighbours]
sv: och att det som på är av för inte med den jag har till om de ett han men vi så hon kan från när dig mig var ska
  vad
da: og at det er på til af for ikke med den jeg har som de et han men vi så hun kan fra hvad skal være blev nu
cs: že se na je to v s ale jsem jsi není bych když jak tak pro co už ještě jen nebo také být bylo který protože jsou
  mě každý každá každé má mají své svého svou která které jeho její jejich podle všech ani může musí by aby za při
  před tohoto této tyto takové
sk: že sa na je to som si nie keď ako tak pre čo už ešte len alebo tiež byť bolo ktorý pretože sú mňa nás každý každá
  každé má majú svoje svojho svojou ktorá ktoré jeho jej ich podľa všetkých ani môže musí by aby za pri pred tohto
  tejto tieto takéto
ro: și în nu este pe cu să că la din care sunt mai pentru ce un o de dar eu el ea foarte fost acum asta
hu: a az és hogy nem is ez azt van egy de meg csak már ha mint vagy mert még volt lesz én te ő minden
ca: i el la els les que de en un una amb per no és són però com més aquest aquesta ho hi què meu seva també dels als
  del al pel pels tot tota tots totes aquests aquestes seu seus seves qualsevol mai té tenir ser només ni sense entre
  sobre llur fins cap ja molt on
fi: ja on ei se että hän minä olen oli mutta niin kun kuin myös joka tämä ovat sen olla mitä sinä nyt vain
bg: и да се на не си ще е че са с за от това как какво съм но аз ти той тя ние вие ги го му при тази този всички или
  бъде трябва може без върху към има които който която когато така само много мен теб нас вас тях
fa: و در به از که این را با است برای آن من تو ما شما او هم نه چه یک
mr: आहे आणि मी ते हे तो ती होते आहेत नाही काय पण कसे मला तुला त्या होता होती
ms: yang dan saya awak kau tak ni tu dah nak kat ke dengan untuk akan boleh lah je korang
"""
